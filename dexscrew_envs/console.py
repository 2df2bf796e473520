"""The command `dexscrew`: a short name for each program.

`dexscrew evaluate --policy nut-oracle` is `python -m baselines.evaluate --policy nut-oracle`, word for word.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from dexscrew_envs import opengl, program, siblings

COMMANDS: Mapping[str, tuple[str, str]] = {
    "train": ("baselines.ppo_oracle", "train an oracle, which sees privileged information"),
    "student": ("baselines.student", "distil an oracle into what a robot can run"),
    "evaluate": ("baselines.evaluate", "score a policy over whole episodes, with a video on request"),
    "play": ("baselines.play", "watch a policy in a window, and push the nut"),
    "export": ("baselines.export", "write a policy as TorchScript and ONNX"),
    "data": ("baselines.data", "look at, merge, draw and export demonstrations"),
    "clone": ("baselines.bc", "clone demonstrations of hand and arm"),
    "replay": ("baselines.replay", "send again what was sent in a recorded episode"),
    "run": ("real.run", "let a policy act on the robot, or on its twin"),
    "teleop": ("real.teleop", "record demonstrations by assisted teleoperation"),
    "doctor": ("real.doctor", "check the set-up of a robot step by step"),
    "twin": ("real.twin", "serve a twin on the controllers' own protocols"),
    "ablation": ("benchmark.sim_ablations", "train and score all four agents"),
    "real-eval": ("benchmark.real_eval", "evaluate policies of hand and arm as the paper does"),
    "trials": ("benchmark.twin_trials", "let a policy try many screws or nuts on the twin"),
}
"""Name of each command, its module, and what it does."""


def table() -> str:
    """Return the commands, one a line."""
    names, modules = max(map(len, COMMANDS)), max(len(module) for module, _ in COMMANDS.values())
    lines = [f"  {name:{names}}  {module:{modules}}  {what}" for name, (module, what) in COMMANDS.items()]
    head = "usage: dexscrew COMMAND [OPTION ...]\n\nEach command stands for `python -m` and its module:\n"
    return "\n".join([head, *lines, "", "dexscrew COMMAND --help explains its options."])


def main(argv: Sequence[str] | None = None) -> int:
    """Become the program that the command line names, or return the exit status where it names none."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        return program.run(lambda: print(table()))
    name = arguments.pop(0)
    return program.run(lambda: _become(_module(name), arguments))


def _module(name: str) -> str:
    """Return the module that a command stands for.

    Raises:
        ValueError: there is no such command.
        ImportError: the working directory holds another package of that name.
    """
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(COMMANDS)}"
        raise ValueError(f"unknown command {name!r}; {hint}")
    module, _ = COMMANDS[name]
    siblings.check_working_directory(module.split(".")[0])
    return module


def _become(module: str, arguments: list[str]) -> int:
    """Replace this process by another program, which signals and the parent's end then reach directly."""
    command = [sys.executable, "-m", module, *arguments]
    opengl.withdraw()  # or the program would take our choice for the user's wish
    if os.name == "nt":  # there `exec` would return to the shell at once
        return subprocess.call(command)
    os.execv(command[0], command)
