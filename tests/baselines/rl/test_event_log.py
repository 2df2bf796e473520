from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from baselines.rl.event_log import event_log


def steps_of(folder: Path, tag: str = "reward") -> list[int]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [event.step for event in events.Scalars(tag)]


def log(folder: Path, begin: int, steps: range, *, killed: bool = False) -> None:
    with event_log(folder, begin) as logger:
        for step in steps:
            logger.record("reward", float(step))
            logger.dump(step)
        if killed:
            for output in logger.output_formats:
                output.writer.flush()


def test_what_a_killed_run_had_written_beyond_its_checkpoint_is_dropped(tmp_path):
    log(tmp_path, 0, range(10, 60, 10), killed=True)
    log(tmp_path, 30, range(40, 100, 10))
    assert steps_of(tmp_path) == [10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_its_thread_ends_with_it_even_after_an_error(tmp_path):
    before = threading.active_count()
    log(tmp_path, 0, range(3))
    with pytest.raises(KeyError), event_log(tmp_path, 0) as logger:
        logger.record("reward", 1.0)
        logger.dump(1)
        raise KeyError
    assert threading.active_count() == before


@pytest.mark.slow
def test_a_training_leaves_no_thread_and_logs_its_reward_terms(tmp_path, train, run):
    before = threading.active_count()
    assert train(tmp_path / "run", "--steps", "128", "--evaluation-episodes", "0") == 0
    assert threading.active_count() == before
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    terms = {tag for tag in events.Tags()["scalars"] if tag.startswith("reward/")}
    assert terms == {f"reward/{n}" for n in ("rotate", "proximity", "pose", "torque", "work", "overspeed", "height")}
    steps = [event.step for event in events.Scalars("reward/rotate")]
    assert steps == sorted(set(steps))
