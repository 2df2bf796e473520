from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from demos import header, record
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from baselines.data.reader import Demonstrations
from baselines.data.windows import Windows, split

KEYS = {"observations": ("hand_q", "tactile", "skill"), "actions": ("asked_hand", "asked_arm")}


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    record(folder, [7, 1, 12], tactile_bias=header().tactile_bias)
    return list(Demonstrations(folder))


@pytest.mark.parametrize(("history", "horizon"), [(1, 1), (3, 4), (30, 16)])
def test_windows_are_those_of_a_plain_loop(episodes, history, horizon):
    windows = Windows(episodes, **KEYS, history=history, horizon=horizon)
    assert len(windows) == 20
    index = 0
    for episode in episodes:
        for now in range(len(episode)):
            past = range(now - history + 1, now + 1)
            future = range(now, now + horizon)
            item = windows[index]
            for key in KEYS["observations"]:
                expected = np.stack([episode[key][max(k, 0)] for k in past])
                assert np.array_equal(item["observations"][key].numpy(), expected)
                assert item["observations"][key].numpy().dtype == episode[key].dtype
            for key in KEYS["actions"]:
                expected = np.stack([episode[key][min(k, len(episode) - 1)] for k in future])
                assert np.array_equal(item["actions"][key].numpy(), expected)
            assert item["observed"].tolist() == [k >= 0 for k in past]
            assert item["acted"].tolist() == [k < len(episode) for k in future]
            index += 1


def test_the_newest_observation_and_the_first_action_are_of_now(episodes):
    item = Windows(episodes, observations=["time"], actions=["time"], history=5, horizon=16)[5]
    assert item["observations"]["time"][-1] == item["actions"]["time"][0] == episodes[0]["time"][5]


def test_a_batch_is_its_items(episodes):
    windows = Windows(episodes, **KEYS, history=3, horizon=4)
    batch = windows[[19, 0, -13, 8]]
    for place, index in enumerate([19, 0, 7, 8]):
        item = windows[index]
        for part in KEYS:
            assert all(torch.equal(batch[part][key][place], item[part][key]) for key in KEYS[part])
        assert torch.equal(batch["acted"][place], item["acted"])


def test_loaders_give_every_window_once(episodes):
    windows = Windows(episodes, observations=["time"], actions=["asked_hand"], history=2, horizon=2)
    sampler = BatchSampler(RandomSampler(windows), 8, False)
    for loader in (DataLoader(windows, sampler=sampler, batch_size=None), DataLoader(windows, batch_size=8)):
        times = torch.cat([batch["observations"]["time"][:, -1] for batch in loader])
        assert sorted(times.tolist()) == sorted(np.concatenate([e["time"] for e in episodes]).tolist())


def test_a_worker_is_not_sent_the_data(episodes):
    windows = Windows(episodes, **KEYS, history=2, horizon=2)
    windows[0]
    again = pickle.loads(pickle.dumps(windows))
    assert not again.episodes[0]._arrays and torch.equal(again[3]["acted"], windows[3]["acted"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"history": 0}, "history must be a positive integer"),
        ({"horizon": 1.5}, "horizon must be a positive integer"),
        ({"observations": "hand_q"}, "observations must be names of fields"),
        ({"actions": []}, "actions must be names of fields"),
        ({"actions": ["asked"]}, "no field 'asked' in .*; it has time, "),
        ({"episodes": []}, "at least one episode"),
    ],
)
def test_wrong_windows_are_refused(episodes, changes, told):
    with pytest.raises(ValueError, match=told):
        Windows(**{"episodes": episodes, **KEYS, "history": 1, "horizon": 1} | changes)


def test_a_window_beyond_the_last_is_refused(episodes):
    windows = Windows(episodes, **KEYS, history=1, horizon=1)
    for index in (20, -21, [0, 20]):
        with pytest.raises(IndexError, match="there are 20"):
            windows[index]


def test_a_split_parts_whole_episodes(episodes):
    many = episodes * 10
    train, validation = split(many, 0.2, seed=3)
    assert len(train) == 24 and len(validation) == 6
    assert [id(e) for e in split(many, 0.2, seed=3)[1]] == [id(e) for e in validation]
    assert [len(part) for part in split(episodes[:2], 0.01)] == [1, 1] == [len(p) for p in split(episodes[:2], 0.99)]
    with pytest.raises(ValueError, match="at least two episodes"):
        split(episodes[:1])
    with pytest.raises(ValueError, match="between 0 and 1"):
        split(episodes, 1.0)


def test_only_windows_need_torch():
    modules = ["writer", "reader", "checking", "editing", "pictures", "export.robomimic"]
    code = "import sys; " + "; ".join(f"import baselines.data.{module}" for module in modules)
    found = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], timeout=60, check=False)
    assert found.returncode == 0
