"""The way from the registered ids to the robot's environment, which is in a package of its own."""

from dexscrew_envs import siblings

try:
    from real.env import DexScrewRealEnv
except ImportError as error:
    hidden = siblings.explained(error)
    if hidden is None:
        raise
    raise ImportError(hidden, name="real") from error

__all__ = ["DexScrewRealEnv"]
