"""Benchmarks: simulation throughput, and the paper's comparisons."""

import dexscrew_envs  # noqa: F401 - it registers the environments, and explains imports that fail
