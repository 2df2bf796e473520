from __future__ import annotations

import json
import resource
import signal

import h5py
import numpy as np
import pytest
from demos import record

from baselines.data.export import robomimic
from baselines.data.reader import Demonstrations
from dexscrew_envs.files import WriteError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("robomimic")
    record(root / "demos", [5, 3, 4])
    episodes = list(Demonstrations(root / "demos"))
    robomimic.export(episodes, root / "out")
    with h5py.File(root / "out" / robomimic.FILE) as file:
        yield episodes, file


def test_the_layout_is_robomimics(exported):
    episodes, file = exported
    assert set(file) == {"data", "mask"} and set(file["data"]) == {"demo_0", "demo_1", "demo_2"}
    assert file["data"].attrs["total"] == 12
    assert json.loads(file["data"].attrs["env_args"]).keys() == {"env_name", "type", "env_kwargs"}
    for number, episode in enumerate(episodes):
        demo = file["data"][f"demo_{number}"]
        assert set(demo) == {"actions", "states", "rewards", "dones", "obs", "next_obs"}
        assert demo.attrs["num_samples"] == len(episode)
        lengths = {len(values) for part in (demo, demo["obs"], demo["next_obs"]) for values in part.values()
                   if isinstance(values, h5py.Dataset)}  # fmt: skip
        assert lengths == {len(episode)}
        assert json.loads(demo.attrs["outcome"])["mark"] == episode.outcome.mark


def test_the_values_are_those_of_the_episodes(exported):
    episodes, file = exported
    demo, episode = file["data/demo_0"], episodes[0]
    assert np.array_equal(demo["actions"], np.hstack([episode["asked_hand"], episode["asked_arm"]]))
    for key in ("hand_q", "held_arm"):
        assert np.array_equal(demo["obs"][key], episode[key])
        assert np.array_equal(demo["next_obs"][key][:-1], episode[key][1:])
        assert np.array_equal(demo["next_obs"][key][-1], episode[key][-1])
    assert np.allclose(demo["obs/tactile"], episode.touch().reshape(5, -1))
    assert demo["dones"][()].tolist() == demo["rewards"][()].tolist() == [0, 0, 0, 0, 1]
    assert file["data/demo_1/rewards"][()].tolist() == [0, 0, 0]  # a failure


def test_the_masks_part_the_episodes(exported):
    _, file = exported
    train, valid = (file["mask"][split][()].astype(str).tolist() for split in ("train", "valid"))
    assert train == ["demo_0", "demo_1"] and valid == ["demo_2"]


@pytest.mark.parametrize("room", [0, 3000, 1 << 14])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, capfd, room):
    record(tmp_path / "demos", [40, 30])
    episodes = list(Demonstrations(tmp_path / "demos"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(WriteError, match=r"cannot write .*out: File too large .* MB free there.; nothing of it"):
            robomimic.export(episodes, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert capfd.readouterr().err == ""  # HDF5 says nothing of its own, now or later
    assert [path.name for path in tmp_path.iterdir()] == ["demos"]
    robomimic.export(episodes, tmp_path / "out")
