"""Behaviour cloning: joint targets of hand and arm from demonstrations, with touch and history.

`docs/cloning.md` describes the method.
"""
