"""Demonstrations: recorded so that nothing is lost, kept one file an episode, and read in windows for training.

`docs/dataset.md` describes the format and what a row means.
"""
