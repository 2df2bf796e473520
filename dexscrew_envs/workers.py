"""Worker processes of a pool: they leave Ctrl-C to their parent, and end with it."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from dexscrew_envs.program import CutShort, Status


@contextmanager
def pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of processes; whatever ends the block ends them, too.

    Raises:
        CutShort: one of them was killed.
    """
    executor = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _be_worker)
    try:
        yield executor
    except BrokenProcessPool as error:
        raise CutShort(
            "a worker process was killed, perhaps since memory is short; what was done is kept: give the same command, "
            "with fewer --processes"
        ) from error
    finally:
        for process in list((executor._processes or {}).values()):
            process.terminate()
        executor.shutdown(cancel_futures=True)


def _be_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(int(Status.CUT_SHORT))

    threading.Thread(target=follow, daemon=True).start()
