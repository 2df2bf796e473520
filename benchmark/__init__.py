"""Benchmarks: simulation throughput, and the paper's comparisons."""
