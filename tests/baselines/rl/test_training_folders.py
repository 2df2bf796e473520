from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from runs import UPDATE, checkpoint_of, copy_of

from baselines.rl import training

pytestmark = pytest.mark.slow


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("--gamma", "0.9"), "gamma (there 0.98, now 0.9)"),
        (("--task", "screwdriver"), "task (there 'nut', now 'screwdriver')"),
        (("--num-envs", "16"), "num_envs (there 8, now 16)"),
        (("--no-randomize",), "randomize (there True, now False)"),
        (("--trunk", "32"), "trunk (there [512, 256, 128], now [32])"),
        (("--seed", "7", "--epochs", "9"), "seed (there 0, now 7), epochs (there 2, now 9)"),
    ],
)
def test_a_folder_of_another_configuration_is_refused_and_the_fields_are_named(
    run, tmp_path, train, capsys, arguments, expected
):
    folder = copy_of(run, tmp_path)
    before = contents(folder)
    assert train(folder, "--steps", str(20 * UPDATE), *arguments) == 2
    message = capsys.readouterr().err
    assert expected in message and "--folder" in message and str(folder) in message
    assert contents(folder) == before


def test_a_folder_that_is_no_run_is_refused(tmp_path, train, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert train(tmp_path, "--steps", "32") == 2
    assert f"{tmp_path} is not empty and holds no run" in capsys.readouterr().err
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_an_empty_folder_is_used(tmp_path, train):
    assert train(tmp_path, "--steps", "32", "--evaluation-episodes", "0") == 0
    assert (tmp_path / "policy.pt").is_file()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null"])
def test_a_damaged_configuration_is_an_error_that_names_the_file(tmp_path, train, capsys, text):
    (tmp_path / "config.json").write_text(text)
    assert train(tmp_path, "--steps", "32") == 2
    assert str(tmp_path / "config.json") in capsys.readouterr().err


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_an_error_that_names_the_file(run, tmp_path, train, capsys, share):
    folder = copy_of(run, tmp_path)
    data = (folder / "checkpoint.pt").read_bytes()
    (folder / "checkpoint.pt").write_bytes(data[: int(share * len(data))])
    assert train(folder, "--steps", str(8 * UPDATE)) == 2
    assert str(folder / "checkpoint.pt") in capsys.readouterr().err


def test_a_policy_in_the_place_of_a_checkpoint_is_an_error(run, tmp_path, train, capsys):
    folder = copy_of(run, tmp_path)
    (folder / "checkpoint.pt").write_bytes((run / "policy.pt").read_bytes())
    assert train(folder, "--steps", str(8 * UPDATE)) == 2
    assert f"{folder / 'checkpoint.pt'} is not a dexscrew-checkpoint file" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["optimizer", "env_rng", "curve"])
def test_a_checkpoint_that_lacks_a_part_is_named_as_old_with_what_to_do(run, tmp_path, train, capsys, part):
    folder = copy_of(run, tmp_path)
    content = checkpoint_of(folder)
    del content[part]
    torch.save(content, folder / "checkpoint.pt")
    assert train(folder, "--steps", str(6 * UPDATE)) == 2
    message = capsys.readouterr().err
    assert f"{folder / 'checkpoint.pt'} is a dexscrew-checkpoint file of an older version" in message
    assert f"it lacks '{part}'" in message and "another folder with --folder" in message


@pytest.mark.parametrize(("version", "expected"), [(0, "older version"), (2, "newer version")])
def test_a_checkpoint_of_another_version_is_named_as_such(run, tmp_path, train, capsys, version, expected):
    folder = copy_of(run, tmp_path)
    torch.save(checkpoint_of(folder) | {"version": version}, folder / "checkpoint.pt")
    assert train(folder, "--steps", str(6 * UPDATE)) == 2
    assert expected in capsys.readouterr().err


def test_a_checkpoint_of_other_networks_is_an_error_that_names_the_file(run, tmp_path, train, capsys):
    folder = copy_of(run, tmp_path)
    content = checkpoint_of(folder)
    content["policy"].popitem()
    torch.save(content, folder / "checkpoint.pt")
    assert train(folder, "--steps", str(6 * UPDATE)) == 2
    message = capsys.readouterr().err
    assert str(folder / "checkpoint.pt") in message and "does not fit" in message


def test_a_configuration_that_does_not_record_a_field_is_told_to_be_old(run, tmp_path, train, capsys):
    folder = copy_of(run, tmp_path)
    content = json.loads((folder / "config.json").read_text())
    del content["config"]["gamma"]
    content["config"]["momentum"] = 0.9
    (folder / "config.json").write_text(json.dumps(content))
    assert train(folder, "--steps", str(6 * UPDATE)) == 2
    message = capsys.readouterr().err
    assert "gamma (not recorded there, as in runs of an older version, now 0.98)" in message
    assert "momentum (there 0.9, missing now)" in message


def test_the_curve_of_a_run_that_went_on_shows_where(run, tmp_path, train, monkeypatch):
    drawn = []
    monkeypatch.setattr(training, "draw_curve", lambda curve, path, title, resumed: drawn.append(list(resumed)))
    folder = copy_of(run, tmp_path)
    first = checkpoint_of(folder)["steps"]
    for steps in (first + 2 * UPDATE, first + 3 * UPDATE):
        assert train(folder, "--steps", str(steps), "--evaluation-episodes", "0") == 0
    assert drawn == [[first], [first, first + 2 * UPDATE]]


def test_results_and_policy_hold_no_path_of_the_machine(tmp_path, train):
    """The command is part of both; what it needs to go on stays in config.json."""
    assert train(tmp_path / "run", "--steps", str(5 * UPDATE), "--evaluation-episodes", "0") == 0
    for name in ("metrics.json", "policy.pt", "curve.png"):
        assert str(tmp_path).encode() not in (tmp_path / "run" / name).read_bytes()
    assert "--folder run" in json.loads((tmp_path / "run" / "metrics.json").read_text())["command"]
