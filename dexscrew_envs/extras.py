"""What is not installed, and which extra brings it. Needs no more than Python 3.10's standard library."""

from __future__ import annotations

import sys
from pathlib import Path

EXTRAS: dict[str, tuple[str, ...]] = {
    "imageio": ("train",), "imageio_ffmpeg": ("train",), "matplotlib": ("train",), "stable_baselines3": ("train",),
    "tensorboard": ("train",), "tqdm": ("train", "teleop"), "tabulate": ("train", "real"), "tyro": ("train", "real"),
    "msgspec": ("real", "teleop"), "zmq": ("real",), "rich": ("real",), "rtde_control": ("real",),
    "rtde_receive": ("real",), "dashboard_client": ("real",), "ray": ("ablation",), "scipy": ("ablation",),
    "mujoco_warp": ("gpu",),
    "warp": ("gpu",), "onnx": ("export",), "onnxruntime": ("export",), "onnxscript": ("export",), "pygame": ("view",),
    "moviepy": ("view",), "h5py": ("data", "teleop"), "pyarrow": ("lerobot",), "mcap": ("mcap",),
    "aiohttp": ("teleop",), "cryptography": ("teleop",), "psutil": ("teleop",), "segno": ("teleop",),
    "PIL": ("teleop",),
}  # fmt: skip
"""The extras of pyproject.toml that bring a module."""


def install_hint(extra: str) -> str:
    """Return how to install an extra, in a checkout and elsewhere."""
    if (Path(__file__).parents[1] / "pyproject.toml").is_file():
        return f"pip install -c constraints.txt -e '.[{extra}]' (outside a checkout: pip install 'dexscrew[{extra}]')"
    return f"pip install 'dexscrew[{extra}]'"


def missing(module: str, purpose: str = "") -> str:
    """Return a sentence that says which extra brings a module that is not installed.

    Args:
        module: its name, as in an import.
        purpose: what needs it; by default the program that runs.
    """
    name = module.split(".")[0]
    of_real = (_module_name() or "").startswith("real")
    extras = EXTRAS.get(name, ())
    extra = next((e for e in extras if (e == "real") == of_real), extras[0] if extras else None)
    how = f"; install it with: {install_hint(extra)}" if extra else f"; install it with: pip install {name}"
    return f"{purpose or program_name()} needs the package {name}, which is not installed{how}"


def program_name() -> str:
    """Return what was typed to start this program, such as `python -m real.run`."""
    name = _module_name()
    return f"python -m {name}" if name else "this"


def _module_name() -> str | None:
    arguments = sys.orig_argv
    return arguments[arguments.index("-m") + 1] if "-m" in arguments[:-1] else None
