"""Assisted teleoperation: an operator moves the wrist and decides when the finger skill runs."""
