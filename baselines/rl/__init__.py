"""Reinforcement learning and distillation: algorithms, their networks, and the trainer."""
