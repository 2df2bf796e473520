"""The TensorBoard log of a training that may have been killed and gone on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from torch.utils.tensorboard import SummaryWriter

from baselines import distributed


class _TensorBoard(TensorBoardOutputFormat):
    """Stable-Baselines3's output, which has no way to say that a run went back to a checkpoint."""

    def __init__(self, folder: Path, steps: int) -> None:
        # TensorBoard then drops what a killed run had written beyond the checkpoint.
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=steps + 1 if steps else None)
        self._is_closed = False


@contextlib.contextmanager
def event_log(folder: Path, steps: int) -> Iterator[Logger]:
    """Give a logger that writes events into a folder, on rank 0, and close it with its thread.

    Args:
        folder: where the events are.
        steps: control steps after which the training goes on.

    Raises:
        OSError: events that were left could not be written.
    """
    logger = Logger(str(folder), [_TensorBoard(folder, steps)] if distributed.rank() == 0 else [])
    try:
        yield logger
    except BaseException:
        with contextlib.suppress(OSError):  # what ended the training matters more
            logger.close()
        raise
    logger.close()
