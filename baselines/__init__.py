"""Learning algorithms and policies for the DexScrew environments."""

from dexscrew_envs import siblings  # with it the environments are registered, and imports that fail explained

siblings.check("dexscrew_envs")
