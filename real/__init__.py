"""The robot: real environments, drivers, safety layer, and a digital twin of arm, hand and objects."""

import dexscrew_envs  # noqa: F401 - it registers the environments, and explains imports that fail
