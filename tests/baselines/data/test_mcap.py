from __future__ import annotations

import json

import numpy as np
import pytest
from demos import FIELDS, record

reader = pytest.importorskip("mcap.reader")

from baselines.data.export import mcap  # noqa: E402
from baselines.data.reader import Demonstrations  # noqa: E402


def test_every_field_of_every_step_is_a_message(tmp_path):
    record(tmp_path / "demos", [3, 2])
    episodes = list(Demonstrations(tmp_path / "demos"))
    mcap.export(episodes, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{e.name}.mcap" for e in episodes]
    for episode in episodes:
        with open(tmp_path / "out" / f"{episode.name}.mcap", "rb") as file:
            log = reader.make_reader(file)
            (about,) = log.iter_metadata()
            assert json.loads(about.metadata["header"])["task"] == "nut"
            found = [
                (channel.topic, m.sequence, m.log_time, json.loads(m.data)) for _, channel, m in log.iter_messages()
            ]
        assert len(found) == len(episode) * (len(FIELDS) - 1)
        for topic, step, time, message in found:
            assert time == round(episode["time"][step] * 1e9)
            assert np.array_equal(np.ravel(message["value"]), episode[topic[1:]][step].ravel())
        assert all(isinstance(message["value"], float) for topic, _, _, message in found if topic == "/turns")
