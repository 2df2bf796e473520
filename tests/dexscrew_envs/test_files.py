from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dexscrew_envs import files
from dexscrew_envs.files import (
    BusyError,
    WriteError,
    check_folder,
    check_place,
    claimed,
    filling,
    holds_nothing,
    replacing,
    to_json,
    write_text,
)

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text("old", path)
    with pytest.raises(KeyError), replacing(path) as beside:
        beside.write_text("half")
        raise KeyError("bug")
    assert path.read_text() == "old" and names(tmp_path) == {"a.txt"}


def test_two_writers_of_one_path_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as first, replacing(path) as second:
        assert first != second and first.suffix == second.suffix == ".txt"
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first" and names(tmp_path) == {"a.txt"}


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from dexscrew_envs.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as beside:\n"
        "    beside.write_text('half'); print('ready', flush=True); time.sleep(60)"
    )
    path = tmp_path / "[a] b.txt"
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout.readline() == "ready\n"
    write_text("mine", path)
    assert len(names(tmp_path)) == 2, "the file of a writer that lives stays"
    writer.kill()
    writer.communicate()
    write_text("mine", path)
    assert names(tmp_path) == {path.name}


def test_what_a_killed_filler_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "[a] set"
    for pid, kept in ((2**22 + 1, False), (os.getpid(), True)):  # a number that no process has, and ours
        left = path.with_name(files._neighbour(path).name.replace(f"-{os.getpid()}-", f"-{pid}-"))
        (left / "meta").mkdir(parents=True)
        (left / "meta" / "half").touch()
        with filling(path) as beside:
            assert left.exists() == kept and beside != left and beside.is_dir()
            (beside / "whole").touch()
        assert names(path) == {"whole"}
        shutil.rmtree(path)


@pytest.mark.slow
def test_readers_never_see_half_a_file(tmp_path):
    path = tmp_path / "a.json"
    write_text(json.dumps([0] * 10_000), path)
    seen, over = [], threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.append(len(set(json.loads(path.read_text()))))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        write_text(json.dumps([number] * 10_000), path)
    over.set()
    reader.join()
    assert set(seen) == {1}


@pytest.fixture
def small_files():
    """Let no file grow beyond 64 KiB, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, old)


def test_a_file_that_does_not_fit_is_a_sentence_with_path_and_space(tmp_path, small_files):
    path = tmp_path / "a.txt"
    write_text("old", path)
    with pytest.raises(WriteError, match=rf"cannot write {path}: .*MB free there\); what was there before is kept"):
        write_text("x" * (1 << 17), path)
    assert path.read_text() == "old" and names(tmp_path) == {"a.txt"}


def test_a_full_disk_is_told_in_whatever_words_the_writer_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_free", lambda path: 0)
    with pytest.raises(WriteError, match="No space left on device"), replacing(tmp_path / "a.pt"):
        raise RuntimeError("unexpected pos 64 vs 0")  # as torch's writer


def test_a_folder_that_does_not_fit_is_a_sentence_and_leaves_nothing(tmp_path, small_files, monkeypatch):
    folder = tmp_path / "set"
    told = rf"cannot write {folder}: File too large .*nothing of it is left: free some space"
    with pytest.raises(WriteError, match=told), filling(folder) as beside:
        write_text("whole", beside / "a.txt")
        write_text("x" * (1 << 17), beside / "meta" / "b.txt")
    monkeypatch.setattr(files, "_free", lambda path: 0)
    with pytest.raises(WriteError, match="No space left on device"), filling(folder):
        raise RuntimeError("the writer's own words")
    assert not names(tmp_path)


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="shape"), replacing(tmp_path / "a.pt"):
        raise RuntimeError("shape")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_text("x", tmp_path / "file" / "a.txt")
    with pytest.raises(RuntimeError, match="shape"), filling(tmp_path / "set"):
        raise RuntimeError("shape")
    with pytest.raises(WriteError, match=r"not empty .*nothing of it is left$"), filling(tmp_path / "set"):
        (tmp_path / "set").mkdir()  # another program was faster
        (tmp_path / "set" / "theirs").touch()
    assert names(tmp_path) == {"file", "set"} and names(tmp_path / "set") == {"theirs"}


# -- JSON -------------------------------------------------------------------------------------------------------------


def test_json_is_strict():
    content = {
        "nan": float("nan"), "inf": [np.inf, -np.float32("inf")], 3: np.int64(4), "array": np.array([1.5, np.nan]),
        "path": Path("a"), "tuple": (1, True, None), "sign": "±",
    }  # fmt: skip

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    text = to_json(content)
    assert text.isascii()
    assert json.loads(text, parse_constant=refuse) == {
        "nan": None, "inf": [None, None], "3": 4, "array": [1.5, None], "path": "a", "tuple": [1, True, None],
        "sign": "±",
    }  # fmt: skip


def test_no_other_place_writes_json_or_files():
    """`to_json` and `replacing` are the only ways out, so that no result is half a file or has a NaN in it."""
    allowed = {"files.py", "hand_server.py", "hand_guard.py"}  # the last one writes into a pipe
    for package in ("dexscrew_envs", "baselines", "real", "benchmark"):
        for path in (ROOT / package).rglob("*.py"):
            if path.name in allowed:
                continue
            text = path.read_text(encoding="utf-8").replace("files.write_", "")
            for way in ("json.dump", ".write_text(", ".write_bytes(", 'open("w', "savefig(path"):
                assert way not in text, f"{path} uses {way}"


# -- folders ----------------------------------------------------------------------------------------------------------


def test_a_claimed_folder_is_refused_to_others_and_names_its_holder(tmp_path):
    folder = tmp_path / "run"
    with (
        claimed(folder),
        pytest.raises(BusyError, match=rf"{folder} is in use by process {os.getpid()} on .*, since 20"),
        claimed(folder),
    ):
        pass
    with claimed(folder):
        pass


def test_a_kill_frees_a_folder(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from dexscrew_envs.files import claimed\n"
        "with claimed(Path(sys.argv[1])): print('ready', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert holder.stdout.readline() == "ready\n"
    with pytest.raises(BusyError, match=f"process {holder.pid} "), claimed(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    end = time.monotonic() + 10
    while True:
        try:
            with claimed(tmp_path):
                break
        except BusyError:
            assert time.monotonic() < end
    assert holds_nothing(tmp_path)


def test_folders_that_cannot_hold_results_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for folder, words in (
        (tmp_path / "file", "is a file, not a folder"),
        (tmp_path / "file" / "below", "file is a file, not a folder"),
        (tmp_path / "nowhere", "is a link that leads nowhere"),
    ):
        with pytest.raises(ValueError, match=words), claimed(folder):
            pass
    check_folder(tmp_path / "new" / "below")
    check_place(tmp_path / "new.json")
    with pytest.raises(ValueError, match="is a folder; give the name of a file"):
        check_place(tmp_path)


def test_a_writer_speaks_of_the_file_that_was_asked_for(tmp_path):
    (tmp_path / "a.txt").mkdir()
    (tmp_path / "a.txt" / "full").write_text("")
    with pytest.raises(WriteError, match=rf"^cannot write {tmp_path / 'a.txt'}: Is a directory$"):
        write_text("x", tmp_path / "a.txt")
