from __future__ import annotations

import os
import signal
from contextlib import closing

import pytest

from dexscrew_envs.program import CutShort
from dexscrew_envs.workers import pool


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_worker_is_told_in_a_sentence():
    with pytest.raises(CutShort, match="a worker process was killed") as told, pool(1) as workers:
        workers.submit(killed).result()
    assert told.value.exit_status == 4


@pytest.mark.slow
def test_also_within_a_generator():
    def results():
        with pool(1) as workers:
            yield workers.submit(killed).result()

    with closing(results()) as found, pytest.raises(CutShort, match="fewer --processes"):
        next(found)
