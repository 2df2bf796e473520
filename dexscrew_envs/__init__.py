"""DexScrew: fastening nuts and turning screwdrivers with a multi-fingered hand.

Importing this package registers the environments with Gymnasium and loads nothing heavy.
"""

from dexscrew_envs import opengl, program, siblings

__version__ = "0.1.0"


def _register() -> None:
    try:
        import gymnasium
    except ModuleNotFoundError:  # the computer of a hand server needs no more than its few packages
        return
    from dexscrew_envs.tasks import TASKS

    for task in TASKS.values():
        name, arguments = task.name.title().replace("_", ""), {"task": task.name}
        gymnasium.register(
            id=f"DexScrew-{name}-v0",
            entry_point="dexscrew_envs.env:DexScrewEnv",
            vector_entry_point="dexscrew_envs.vector_env:DexScrewVectorEnv",
            kwargs=arguments,
        )
        if task.on_robot:
            gymnasium.register(
                id=f"DexScrew-{name}Real-v0", entry_point="dexscrew_envs.robot:DexScrewRealEnv", kwargs=arguments
            )


opengl.prepare()
program.guard_imports()
siblings.check_program()
_register()
