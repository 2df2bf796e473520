"""Learning algorithms and policies for the DexScrew environments."""
