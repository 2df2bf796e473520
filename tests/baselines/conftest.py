from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fakes import SHORT_NUT, TINY
from runs import UPDATE

from baselines import ppo_oracle
from dexscrew_envs.tasks import TASKS


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def short_nut() -> Iterator[None]:
    """The task called nut has short episodes, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "nut", SHORT_NUT)  # type: ignore[arg-type]
        yield


@pytest.fixture
def tiny() -> tuple[str, ...]:
    return TINY


@pytest.fixture
def train(tiny) -> Callable[..., int]:
    """Run a tiny training; a KeyboardInterrupt that gets out fails the test instead of ending pytest."""

    def run(folder: Path, *arguments: str) -> int:
        try:
            return ppo_oracle.main([*tiny, "--folder", str(folder), *arguments])
        except KeyboardInterrupt:
            pytest.fail("KeyboardInterrupt got out of main")

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory, short_nut, one_thread) -> Path:
    """A finished run of five updates."""
    folder = tmp_path_factory.mktemp("run") / "nut"
    assert ppo_oracle.main([*TINY, "--folder", str(folder), "--steps", str(5 * UPDATE)]) == 0
    return folder
