"""The export to LeRobot, against the rules of its format v3 that docs/dataset.md names."""

from __future__ import annotations

import json

import numpy as np
import pytest
from demos import FINGERS, JOINTS, TAXELS, record

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from baselines.data.export import lerobot  # noqa: E402
from baselines.data.export.folder import ExportError  # noqa: E402
from baselines.data.reader import Demonstrations  # noqa: E402

LENGTHS = (5, 3, 4)
STATE = len(JOINTS) + 6
TOUCH = len(FINGERS) * TAXELS * 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("lerobot")
    record(root / "demos", LENGTHS, changes=({"shape": "square"}, {"shape": "triangle"}))
    lerobot.export(list(Demonstrations(root / "demos")), root / "out")
    return root / "demos", root / "out"


@pytest.fixture(scope="module")
def info(folders):
    return json.loads((folders[1] / "meta/info.json").read_text())


def test_the_files_are_those_of_the_format(folders):
    found = sorted(path.relative_to(folders[1]).as_posix() for path in folders[1].rglob("*") if path.is_file())
    data = [f"data/chunk-000/file-{k:03d}.parquet" for k in range(3)]
    assert found == [*data, "meta/episodes/chunk-000/file-000.parquet", "meta/info.json", "meta/stats.json",
                     "meta/tasks.parquet"]  # fmt: skip
    assert sorted(path.name for path in folders[1].parent.iterdir()) == ["demos", "out"]


def test_info_says_what_there_is(info):
    assert info["codebase_version"] == "v3.0" and info["fps"] == 20 and type(info["fps"]) is int
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 12, 2)
    assert info["splits"] == {"train": "0:3"} and info["video_path"] is None and info["chunks_size"] == 1000
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    own = {"timestamp": "float32", **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")}
    for key, dtype in own.items():
        assert info["features"][key] == {"dtype": dtype, "shape": [1], "names": None}
    assert info["features"]["observation.state"]["shape"] == [STATE]
    assert info["features"]["observation.state"]["names"] == [*JOINTS, *(f"arm_{k}" for k in range(6))]
    assert info["features"]["observation.tactile"] == {"dtype": "float32", "shape": [TOUCH], "names": None}
    assert [key for key in info["features"] if key.startswith("action")] == ["action"]  # or policies predict others


def test_the_columns_have_the_types_of_the_features(folders, info):
    for number, length in enumerate(LENGTHS):
        file = pq.ParquetFile(folders[1] / f"data/chunk-000/file-{number:03d}.parquet")
        assert file.metadata.num_row_groups == 1 and file.metadata.num_rows == length
        schema = file.schema_arrow
        assert schema.names == list(info["features"])
        for key, feature in info["features"].items():
            scalar = pa.from_numpy_dtype(np.dtype(feature["dtype"]))
            (size,) = feature["shape"]
            vector = info["features"][key]["shape"] != [1]
            assert schema.field(key).type == (pa.list_(scalar, size) if vector else scalar), key


def test_the_values_are_those_of_the_episodes(folders):
    first = 0
    for number, episode in enumerate(Demonstrations(folders[0])):
        table = pq.read_table(folders[1] / f"data/chunk-000/file-{number:03d}.parquet")
        columns = {name: np.array(table[name].to_pylist()) for name in table.column_names}
        frames = np.arange(len(episode))
        assert columns["timestamp"] == pytest.approx(frames / 20)
        assert np.array_equal(columns["frame_index"], frames) and np.array_equal(columns["index"], first + frames)
        assert set(columns["episode_index"]) == {number} and set(columns["task_index"]) == {number % 2}
        assert np.array_equal(columns["action"], np.hstack([episode["asked_hand"], episode["asked_arm"]]))
        assert np.array_equal(columns["sent_targets"], np.hstack([episode["sent_hand"], episode["sent_arm"]]))
        assert np.array_equal(columns["observation.state"], np.hstack([episode["hand_q"], episode["arm_q"]]))
        assert columns["observation.tactile"] == pytest.approx(episode.touch().reshape(len(episode), -1))
        first += len(episode)


def test_the_table_of_episodes_leads_to_the_data(folders):
    rows = pq.read_table(folders[1] / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["length"] for row in rows] == list(LENGTHS)
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in rows] == [(0, 5), (5, 8), (8, 12)]
    assert [(row["data/chunk_index"], row["data/file_index"]) for row in rows] == [(0, 0), (0, 1), (0, 2)]
    assert [row["tasks"] for row in rows] == [["nut, square"], ["nut, triangle"], ["nut, square"]]
    assert {(row["meta/episodes/chunk_index"], row["meta/episodes/file_index"]) for row in rows} == {(0, 0)}
    assert rows[1]["stats/action/count"] == [3]


def test_pandas_takes_the_tasks_as_the_index(folders):
    table = pq.read_table(folders[1] / "meta/tasks.parquet")
    assert table.to_pydict() == {"task_index": [0, 1], "task": ["nut, square", "nut, triangle"]}
    about = json.loads(table.schema.metadata[b"pandas"])
    assert about["index_columns"] == ["task"] and about["column_indexes"] == []
    assert {column["field_name"] for column in about["columns"]} == {"task", "task_index"}


def test_the_statistics_are_those_of_all_frames(folders, info):
    stats = json.loads((folders[1] / "meta/stats.json").read_text())
    episodes = list(Demonstrations(folders[0]))
    assert stats.keys() == info["features"].keys()
    everything = np.vstack([np.hstack([e["asked_hand"], e["asked_arm"]]) for e in episodes]).astype(float)
    found = stats["action"]
    assert found["count"] == [12]
    for name in ("min", "max", "mean", "std"):
        assert found[name] == pytest.approx(getattr(everything, name)(axis=0).tolist()), name
    medians = [np.median(np.hstack([e["asked_hand"], e["asked_arm"]]), axis=0) * len(e) / 12 for e in episodes]
    assert found["q50"] == pytest.approx(sum(medians).tolist())
    assert set(found) == {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}


def test_touch_can_be_appended_to_the_state(folders, tmp_path):
    episodes = list(Demonstrations(folders[0]))
    lerobot.export(episodes, tmp_path / "flat", flatten_tactile=True)
    table = pq.read_table(tmp_path / "flat/data/chunk-000/file-000.parquet")
    state = np.array(table["observation.state"].to_pylist())
    assert state.shape == (5, STATE + TOUCH)
    assert state[:, STATE:] == pytest.approx(episodes[0].touch().reshape(5, -1))
    names = json.loads((tmp_path / "flat/meta/info.json").read_text())["features"]["observation.state"]["names"]
    assert len(names) == len(set(names)) == STATE + TOUCH


def test_what_cannot_be_exported_is_told(folders, tmp_path, monkeypatch):
    episodes = list(Demonstrations(folders[0]))
    with pytest.raises(ExportError, match="is there already"):
        lerobot.export(episodes, folders[1])
    record(tmp_path / "slow", [2], period=0.3)
    with pytest.raises(ExportError, match=r"a period of 0\.3 s is none"):
        lerobot.export(list(Demonstrations(tmp_path / "slow")), tmp_path / "out")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match=r"cannot write .*out: No space left on device .*MB free"):
        lerobot.export(episodes, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slow"]
