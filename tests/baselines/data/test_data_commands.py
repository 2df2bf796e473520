"""The command line: each tool on a small set, and what it says of wrong input."""

from __future__ import annotations

import json
import sys

import pytest
from demos import TINY, cut_off, header, record

from baselines.data.__main__ import main
from baselines.data.reader import Demonstrations
from baselines.data.writer import Recorder
from dexscrew_envs.program import Status


@pytest.fixture
def folder(tmp_path):
    record(tmp_path / "demos", [4, 3], changes=({"shape": "square"}, {"shape": "triangle"}))
    return tmp_path / "demos"


def test_info_lists_the_episodes(folder, capsys):
    cut_off(folder.parent / "other", 2)
    (folder.parent / "other/episode_000000.partial").rename(folder / "episode_000005.partial")
    assert main(["info", str(folder), "--json"]) == Status.DONE
    out = capsys.readouterr().out
    assert "2 episodes of nut with small, 7 steps" in out and "not finished: 5" in out
    found = json.loads(out.splitlines()[-1])
    assert [row["shape"] for row in found["episodes"]] == ["square", "triangle"]
    assert [row["late"] for row in found["episodes"]] == [0, 0] and found["unfinished"] == [5]


def test_info_tells_of_unfinished_episodes_where_there_are_no_others(tmp_path, capsys):
    cut_off(tmp_path, 2)
    assert main(["info", str(tmp_path)]) == Status.REFUSED
    error = capsys.readouterr().err
    assert "no finished episode, but unfinished ones (0): record into the folder again, which recovers them" in error
    with Recorder(tmp_path, header(), TINY):
        pass
    assert main(["info", str(tmp_path)]) == Status.DONE


def test_check_ends_with_the_status_of_what_it_found(folder, capsys):
    assert main(["check", str(folder)]) == Status.DONE
    assert "2 files, all sound" in capsys.readouterr().out
    path = folder / "episode_000001.h5"
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["check", str(folder)]) == Status.STOPPED
    out = capsys.readouterr().out
    assert "NOT SOUND" in out and "1 of them not sound" in out


def test_merge_and_drop(folder, capsys):
    out = folder.parent / "out"
    assert main(["merge", str(folder), "--out", str(out), "--compressed"]) == Status.DONE
    assert "copied 2 episodes" in capsys.readouterr().out
    assert main(["drop", str(out), "1"]) == Status.DONE
    assert [episode.number for episode in Demonstrations(out)] == [0]
    capsys.readouterr()
    assert main(["merge", str(folder), "--out", str(out)]) == Status.DONE
    told = f"left out 1 episodes that lie in {out / 'dropped'}; remove those there to copy them again"
    assert told in capsys.readouterr().out
    assert main(["drop", str(out), "9"]) == Status.REFUSED
    assert "no episode 9" in capsys.readouterr().err


def test_episodes_of_two_presses_are_not_merged(folder, capsys):
    record(folder.parent / "firm", [3], changes=({"extras": {"press": 0.075}},))
    command = ["merge", str(folder), str(folder.parent / "firm"), "--out", str(folder.parent / "out")]
    assert main(command) == Status.REFUSED
    assert "the episodes have --press 0.0 and 0.075, and a data set has one" in capsys.readouterr().err
    assert not (folder.parent / "out").exists()


@pytest.mark.slow
def test_plot_draws_what_was_asked_for(folder, tmp_path):
    assert main(["plot", str(folder), "1", "--out", str(tmp_path / "pictures")]) == Status.DONE
    (path,) = (tmp_path / "pictures").iterdir()
    assert path.name == "episode_000001.png" and path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("to", ["lerobot", "robomimic", "mcap"])
def test_export_writes_every_format(folder, tmp_path, capsys, to):
    pytest.importorskip({"lerobot": "pyarrow"}.get(to, to if to == "mcap" else "h5py"))
    command = ["export", str(folder), "--to", to, "--out", str(tmp_path / "out"), "--mark", "success"]
    assert main(command) == Status.DONE
    assert "exported 1 episodes" in capsys.readouterr().out and any((tmp_path / "out").iterdir())
    assert main(command) == Status.REFUSED
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["lerobot", "robomimic", "mcap"])
def test_a_damaged_episode_is_not_exported(folder, tmp_path, capsys, to):
    pytest.importorskip({"lerobot": "pyarrow"}.get(to, to if to == "mcap" else "h5py"))
    path = folder / "episode_000001.h5"
    data = bytearray(path.read_bytes())
    data[-4096:] = bytes(4096)
    path.write_bytes(data)
    command = ["export", str(folder), "--to", to, "--out", str(tmp_path / "out")]
    assert main(command) == Status.REFUSED
    error = capsys.readouterr().err
    assert f"{path} is damaged" in error and error.count("\n") == 1 and not (tmp_path / "out").exists()
    remedy = error.partition("to leave it out: python -m baselines.data ")[2].split()
    assert main(remedy) == Status.DONE and main(command) == Status.DONE


def test_an_export_leaves_what_lies_beside_it(folder, tmp_path):
    theirs = tmp_path / "out.partial" / "content"
    theirs.mkdir(parents=True)
    (theirs / "notes.txt").touch()
    assert main(["export", str(folder), "--to", "robomimic", "--out", str(tmp_path / "out")]) == Status.DONE
    assert (theirs / "notes.txt").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"demos", "out", "out.partial"}


def test_an_export_without_its_package_names_the_extra(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "baselines.data.export.lerobot", raising=False)
    status = main(["export", str(folder), "--to", "lerobot", "--out", str(tmp_path / "out")])
    assert status == Status.REFUSED
    assert "needs the package pyarrow" in (error := capsys.readouterr().err) and ".[lerobot]" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("info {0}/missing", "there is no folder"),
        ("check {0}", "holds no episodes"),
        ("plot {0}/demos 7", "no episode 7"),
        ("plot {0}/tiny", "does not hold demonstrations: its steps lack hand_q"),
        ("export {0}/tiny --to mcap --out {0}/out", "does not hold demonstrations"),
        ("export {0}/demos --to mcap --out {0}/out --mark none", "no finished episode that is marked none"),
        ("export {0}/demos --to mcap --out {0}/out --flatten-tactile", "for --to lerobot alone"),
        ("merge {0}/demos {0}/tiny --out {0}/out", "tiny cannot be merged"),
        ("merge --out {0}/out", "at least one folder"),
        ("drop {0}/demos", "numbers of the episodes"),
    ],
)
def test_wrong_input_gets_a_sentence(folder, tmp_path, capsys, command, told):
    record(tmp_path / "tiny", [2], fields=TINY)
    assert main(command.format(tmp_path).split()) == Status.REFUSED
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
