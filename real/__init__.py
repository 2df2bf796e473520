"""The robot: real environments, drivers, safety layer, and a digital twin of arm, hand and objects."""

from dexscrew_envs import siblings  # with it the environments are registered, and imports that fail explained

siblings.check("dexscrew_envs")
