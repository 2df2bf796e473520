"""A recorder that is killed at random moments loses nothing that it was given."""

from __future__ import annotations

import multiprocessing
import random
import time

import pytest
from demos import TINY, header, step

from baselines.data.checking import check
from baselines.data.folder import FolderError
from baselines.data.header import Outcome
from baselines.data.reader import Demonstrations
from baselines.data.writer import Recorder

pytestmark = pytest.mark.slow
KILLS = 50
SEED = 20_261_126
EPISODE_STEPS = 150


def _record_for_ever(folder, given) -> None:
    with Recorder(folder, header(), TINY) as recorder:
        while True:
            recorder.begin()
            for number in range(EPISODE_STEPS):
                recorder.append(step(number, fields=TINY))
                given.value += 1
            recorder.finish(Outcome(mark="success"))


def test_kill_9_at_random_moments_loses_no_step(tmp_path):
    draw = random.Random(SEED)
    context = multiprocessing.get_context("fork")
    given = context.Value("q", 0, lock=False)
    for attempt in range(KILLS):
        process = context.Process(target=_record_for_ever, args=(tmp_path, given))
        process.start()
        time.sleep(draw.uniform(0.0, 0.12))
        process.kill()
        process.join()
        try:
            assert all(finding.sound for finding in check(tmp_path)), (SEED, attempt)
        except FolderError:
            assert given.value == 0
    Recorder(tmp_path, header(), TINY).close()  # recovers the last
    episodes = Demonstrations(tmp_path)
    kept = sum(map(len, episodes))
    assert given.value <= kept <= given.value + KILLS  # each kill may fall between a step and its count
    for episode in episodes:
        expected = [step(number, fields=TINY)["n"] for number in range(len(episode))]
        assert episode["n"].tolist() == expected
        assert (episode.outcome.mark == "success") <= (len(episode) == EPISODE_STEPS)
    assert {episode.outcome.mark for episode in episodes} == {"success", "none"}
    assert len({episode.number for episode in episodes}) == len(episodes)
