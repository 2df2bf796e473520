"""The task as small pure functions on named tensors: observations, rewards, terminations, randomisation."""
