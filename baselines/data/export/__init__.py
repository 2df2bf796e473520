"""Data sets in the formats of other projects: lerobot, robomimic and mcap."""
