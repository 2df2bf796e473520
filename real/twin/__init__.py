"""The digital twin: a UR5e and an XHand in MuJoCo, with what the simplified tasks leave out."""

import dexscrew_envs  # noqa: F401  # before MuJoCo: it sees to its OpenGL
