"""A newcomer's way through README.md: every command of it, section by section, in a copy of the checkout.

The copy begins without an environment; each section has what the sections before it installed, and nothing else. The
commands are README.md's own, taken from its blocks. Long ones get options that shorten them, listed in `COMMANDS`.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
TWIN = "127.0.0.2"

TINY = "--num-envs 64 --batch-size 256 --evaluation-episodes 2 --no-video --threads 1"


@dataclass(frozen=True)
class Command:
    """How the test runs a command of README.md."""

    add: str = ""
    """What it appends; an option given twice has its last value."""
    instead: str = ""
    """What it runs instead."""
    ready: str = ""
    """What a server prints when it is ready; it is then left running until its section ends."""
    too_slow: str = ""
    """What it says, with status 3, on a machine too busy for real time; that is no fault of README.md."""


COMMANDS = {
    "make train": Command(add=f'ARGS="--steps 4096 {TINY}"'),
    "make test": Command(instead="make --dry-run test"),  # this test is part of it
    "source .venv/bin/activate": Command(),
    "python -m baselines.play": Command(instead="python -m baselines.play --help"),  # there may be no display
    "python -m baselines.play --policy screwdriver-oracle": Command(instead="python -m baselines.play --help"),
    "python -m baselines.play --policy none --shape cross": Command(instead="python -m baselines.play --help"),
    "python -m baselines.ppo_oracle --task screwdriver --steps 3000000": Command(add=f"--steps 4096 {TINY}"),
    "python -m baselines.student --task nut": Command(add=f"--steps 4096 {TINY}"),
    'pip install -c constraints.txt -e ".[real,teleop,data]"': Command(),
    "python -m baselines.data info runs/demos": Command(),
    "python -m real.teleop --task nut": Command(instead="python -m real.teleop --help"),  # it waits for a person
    "python -m real.teleop --task nut --operator scripted --episodes 2 --out runs/demos": Command(add="--seconds 2"),
    "python -m baselines.evaluate --policy nut-oracle --video nut.mp4 --json": Command(  # drawing takes a minute or two
        instead="python -c 'import imageio, imageio_ffmpeg' && "
        "python -m baselines.evaluate --policy nut-oracle --json --episodes 2"
    ),
    "python -m baselines.evaluate --policy runs/oracle-nut-0/policy.pt --shape square --push 10": Command(
        add="--episodes 2"
    ),
    "python -m baselines.ppo_oracle --env.shape square --folder runs/square": Command(add=f"--steps 4096 {TINY}"),
    "torchrun --nproc-per-node 4 -m baselines.ppo_oracle --seed 1": Command(add=f"--steps 4096 {TINY}"),
    "tensorboard --logdir runs": Command(add="--port 0", ready="TensorBoard .* at http"),
    'pip install -c constraints.txt -e ".[export]"': Command(),
    "python -m baselines.export --policy runs/student-nut-0/policy.pt --out nut-student": Command(),
    'pip install -c constraints.txt -e ".[real]"': Command(),
    "python -m real.run --policy nut-student": Command(add="--seconds 2"),
    "python -m real.twin --task nut --shape hexagon": Command(add=f"--host {TWIN}", ready="is served"),
    f"python -m real.doctor --arm {TWIN} --hand tcp://{TWIN}:5557": Command(too_slow="readings per second"),
    f"python -m real.run --policy nut-student --arm {TWIN} --hand tcp://{TWIN}:5557": Command(
        add="--seconds 2", too_slow=r"reading is \d+ ms old|no command (for|came)"
    ),
    "python3 -m venv .venv": Command(),
    'pip install -c constraints.txt -e ".[train]"': Command(),
}


@dataclass(frozen=True)
class Block:
    """A block of code in README.md."""

    section: str
    language: str
    text: str

    def commands(self) -> list[str]:
        """Return the command of each line, without its comment."""
        lines = (re.sub(r"\s+# .*", "", line).strip() for line in self.text.splitlines())
        return [line for line in lines if line]


def blocks_of(text: str) -> list[Block]:
    fence = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    found = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        title = section.splitlines()[0]
        found += [Block(title, language, code) for language, code in fence.findall(section)]
    return found


BLOCKS = blocks_of(TEXT)
SECTIONS = list(dict.fromkeys(block.section for block in BLOCKS))


def test_the_blocks_are_found():
    text = "# T\n```sh\na   # b\n\nc --d '#e'\n```\n## S\n```python\nx\n```\n"
    assert blocks_of(text) == [Block("# T", "sh", "a   # b\n\nc --d '#e'\n"), Block("S", "python", "x\n")]
    assert blocks_of(text)[0].commands() == ["a", "c --d '#e'"]
    assert TEXT.count("```") == 2 * len(BLOCKS) > 10


def test_every_command_of_the_readme_is_known():
    assert {block.language for block in BLOCKS} == {"sh", "python"}
    commands = [command for block in BLOCKS if block.language == "sh" for command in block.commands()]
    assert set(commands) == set(COMMANDS)


def test_everything_that_the_readme_points_to_is_there():
    targets = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    headings = {re.sub(r"\W+", "-", title.lower()) for title in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)}
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in headings
        elif not target.startswith("https://"):
            assert (ROOT / target).exists(), target


class Newcomer:
    """Somebody with a copy of the checkout, and a terminal in it."""

    def __init__(self, folder: Path) -> None:
        ignored = shutil.ignore_patterns(".git", ".venv", "runs", "build", "*.egg-info", "__pycache__", ".*_cache")
        self.folder = folder / "dexscrew"
        shutil.copytree(ROOT, self.folder, ignore=ignored)
        self.host = f"127.88.{os.getpid() % 250}.{2 + secrets.randbelow(250)}"
        self.active = False
        self.servers: list[subprocess.Popen[str]] = []
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("VIRTUAL_ENV", "PYTHON", "PYTEST"))}
        path = [entry for entry in os.environ["PATH"].split(os.pathsep) if Path(entry) != Path(sys.prefix, "bin")]
        self.environment = kept | {
            "PATH": os.pathsep.join(path),
            "PYTHON": getattr(sys, "_base_executable", sys.executable),  # the Makefile's
            "PIP_NO_COMPILE": "1",  # half of the time of an installation
        }

    def popen(self, line: str, **kwargs) -> subprocess.Popen[str]:
        if self.active:
            line = f"source .venv/bin/activate && {line}"
        return subprocess.Popen(
            ["bash", "-c", line], cwd=self.folder, env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, **kwargs,
        )  # fmt: skip

    def run(self, line: str, too_slow: str = "", tries: int = 3) -> None:
        began = time.monotonic()
        with self.popen(line) as process:
            try:
                output, _ = process.communicate(timeout=400)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
                pytest.fail(f"`{line}` does not end; it printed:\n{output[-3000:]}")
        print(f"{time.monotonic() - began:6.1f} s  {line}")
        if process.returncode == 3 and too_slow:  # a moment without the processor stops a robot
            if tries > 1:
                return self.run(line, too_slow, tries - 1)
            if re.search(too_slow, output):
                return
        assert process.returncode == 0, f"`{line}` ended with {process.returncode}; it printed:\n{output[-3000:]}"

    def start(self, line: str, ready: str) -> None:
        process = self.popen(f"exec {line}")
        self.servers.append(process)
        assert process.stdout is not None
        seen = []
        for output in process.stdout:
            seen.append(output)
            if re.search(ready, output):
                return
        pytest.fail(f"`{line}` ended before it was ready; it printed:\n{''.join(seen)[-3000:]}")

    def type(self, command: str) -> None:
        """Run a command of README.md as `COMMANDS` says."""
        how = COMMANDS[command]
        line = (how.instead or f"{command} {how.add}").strip().replace(TWIN, self.host)
        if how.ready:
            self.start(line, how.ready)
        else:
            self.run(line, how.too_slow)
        self.active |= command == "source .venv/bin/activate"

    def stop_servers(self) -> list[int]:
        """Press Ctrl-C in the terminals of the servers; return how they ended."""
        ended = []
        for process in self.servers:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=60)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
            ended.append(process.returncode)
        self.servers.clear()
        return ended


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory) -> Iterator[Newcomer]:
    if shutil.which("make") is None or shutil.which("bash") is None:
        pytest.skip("README.md asks for make and bash")
    someone = Newcomer(tmp_path_factory.mktemp("readme"))
    yield someone
    someone.stop_servers()
    shutil.rmtree(someone.folder / ".venv", ignore_errors=True)  # more than a gigabyte


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_works_with_what_the_ones_before_it_installed(newcomer, section):
    for block in BLOCKS:
        if block.section != section:
            continue
        if block.language == "python":
            newcomer.run(f"python -c {shlex.quote(block.text)}")
        else:
            for command in block.commands():
                newcomer.type(command)
    assert all(status in (0, 130) for status in newcomer.stop_servers())
