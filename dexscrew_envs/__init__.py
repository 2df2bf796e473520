"""DexScrew: fastening nuts and turning screwdrivers with a multi-fingered hand.

Importing this package registers the environments with Gymnasium and loads nothing heavy.
"""

import gymnasium

from dexscrew_envs import opengl as _opengl

__version__ = "0.1.0"

_opengl.prepare()

for _task, _name in (("nut", "Nut"), ("screwdriver", "Screwdriver")):
    gymnasium.register(
        id=f"DexScrew-{_name}-v0",
        entry_point="dexscrew_envs.env:DexScrewEnv",
        vector_entry_point="dexscrew_envs.vector_env:DexScrewVectorEnv",
        kwargs={"task": _task},
    )
    gymnasium.register(id=f"DexScrew-{_name}Real-v0", entry_point="real.env:DexScrewRealEnv", kwargs={"task": _task})
