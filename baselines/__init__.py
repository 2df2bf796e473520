"""Learning algorithms and policies for the DexScrew environments."""

import dexscrew_envs  # noqa: F401 - it registers the environments, and explains imports that fail
