from __future__ import annotations

import json

import numpy as np
import pytest
from robot_fakes import FakeRobot
from test_on_robot import Person

from baselines.data.reader import Demonstrations
from benchmark import paper
from benchmark.real_eval import __main__ as command
from benchmark.real_eval import entrants, on_twin
from benchmark.real_eval.__main__ import main
from dexscrew_envs import program
from dexscrew_envs.program import CutShort
from real.env import DexScrewRealEnv
from real.robot_policies import Direct
from real.skill import load_skill

SHORT = ["--task", "nut", "--shapes", "cross", "--seconds", "0.5", "--trials", "1"]


@pytest.mark.slow
def test_a_small_evaluation(in_this_process, tmp_path, capsys):
    out = tmp_path / "out"
    call = [*SHORT, "--policies", "scripted-wrist", "full=nut-student", "--out", str(out), "--json"]
    assert main(call) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    found = json.loads(printed[-1])
    assert list(found) == ["scripted-wrist", paper.FULL]
    cell = found[paper.FULL]["cross"]
    assert cell["trials"] == 1 and cell["complete"] == 0 and 0 <= cell["progress_mean"] < 0.5
    assert cell["progress_std"] is None and cell["time_mean"] is None
    assert "How trials ended" in "\n".join(printed)
    assert "98.75 ± 3.95" in "\n".join(printed)  # the paper's cell stands beside it
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        "protocol.json", "trials", "logs", "report.md", "summary.json", "contrasts.json", "progress.png", "times.png",
        "contact.png",
    }  # fmt: skip


@pytest.mark.slow
def test_what_is_done_is_not_done_again_and_more_is_added(in_this_process, tmp_path):
    call = [*SHORT, "--policies", "direct", "--out", str(tmp_path / "out")]
    assert main(call) == 0 and main([*call, "--trials", "2"]) == 0
    assert in_this_process == [("direct", "cross", 0), ("direct", "cross", 1)]
    assert main([*call, "--policies", "direct", "mine=nut-student"]) == 0
    assert in_this_process[2:] == [("mine", "cross", 0)]
    assert main([*call, "--stratum", "hard"]) == 2


@pytest.mark.slow
def test_a_recording_is_what_happened(in_this_process, tmp_path):
    out = tmp_path / "out"
    assert main([*SHORT, "--policies", "direct", "--out", str(out)]) == 0
    (episode,) = Demonstrations(out / "logs" / "direct")
    record = json.loads(next((out / "trials").iterdir()).read_text())
    header = episode.header
    assert (header.shape, header.seed, header.policy, header.stratum) == ("cross", 0, "direct", "nominal")
    assert len(episode) == 10 and header.tactile_bias.any()
    assert (
        np.isclose(episode.outcome.progress, record["progress"], atol=1e-4) and episode.outcome.reason == "time is over"
    )
    assert np.ptp(episode["sent_arm"], axis=0).max() == 0.0  # the arm is still
    np.testing.assert_allclose(episode["sent_hand"][:-1], episode["held_hand"][1:], atol=1e-6)


@pytest.mark.slow
def test_a_trial_that_was_recorded_before_a_crash_is_recorded_once(in_this_process, tmp_path):
    out = tmp_path / "out"
    call = [*SHORT, "--policies", "direct", "--out", str(out)]
    assert main(call) == 0
    next((out / "trials").iterdir()).unlink()
    assert main(call) == 0
    assert len(in_this_process) == 2 and len(Demonstrations(out / "logs" / "direct")) == 1


@pytest.mark.slow
def test_a_recording_can_be_replayed(in_this_process, tmp_path, capsys):
    first, second = tmp_path / "a", tmp_path / "b"
    assert main([*SHORT, "--policies", "direct", "--out", str(first)]) == 0
    replay = f"replay:{first / 'logs' / 'direct'}:0"
    assert main([*SHORT, "--policies", replay, "--out", str(second), "--json"]) == 0
    (episode,) = Demonstrations(second / "logs" / "replay")
    assert np.ptp(episode["sent_hand"], axis=0).max() > 0.05 and episode.header.policy == "replay"
    assert list(json.loads(capsys.readouterr().out.strip().splitlines()[-1])) == [paper.REPLAY]


@pytest.mark.slow
def test_trials_without_recordings_are_done_again_for_them(in_this_process, tmp_path):
    out = tmp_path / "out"
    call = [*SHORT, "--policies", "direct", "--out", str(out)]
    assert main([*call, "--logs", "no"]) == 0
    assert not (out / "logs").exists() and not (out / "contact.png").exists()
    (file,) = (out / "trials").iterdir()
    before = file.read_text(), file.stat().st_mtime_ns
    assert main(call) == 0 and len(in_this_process) == 1
    assert main([*call, "--logs", "yes"]) == 0 and main([*call, "--logs", "yes"]) == 0
    assert len(in_this_process) == 2 and len(Demonstrations(out / "logs" / "direct")) == 1
    assert (file.read_text(), file.stat().st_mtime_ns) == before


def test_a_disk_without_room_for_a_recording_is_told_before_the_trial(monkeypatch, in_this_process, tmp_path, capsys):
    monkeypatch.setattr("baselines.data.writer.ROOM_SECONDS", 1e9)
    assert main([*SHORT, "--policies", "direct", "--out", str(tmp_path / "out")]) == 4
    assert "free some space" in capsys.readouterr().err and in_this_process == []


def test_a_policy_that_fails_is_told_and_the_others_go_on(monkeypatch, in_this_process, tmp_path, capsys):
    class Broken(Direct):
        def act(self, env, observation):
            raise KeyError("hand")

    load = entrants.load_robot_policy

    def load_one(source, task):
        return Broken(load_skill("nut-student")) if source == "nut-student" else load(source, task)

    monkeypatch.setattr(entrants, "load_robot_policy", load_one)
    call = ["--policies", "mine=nut-student", "direct", "--logs", "no", "--json", "--out", str(tmp_path)]
    assert main([*SHORT, *call]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert found["mine"]["cross"]["ended_by"] == {"fault": 1} and "fault" not in found["direct"]["cross"]["ended_by"]
    assert "KeyError: 'hand' (test_real_eval.py, line" in (tmp_path / "trials" / "mine-cross-0000.json").read_text()


@pytest.mark.slow
def test_a_perturbed_evaluation_tells_recovery(in_this_process, tmp_path, capsys):
    out = tmp_path / "out"
    call = ["--policies", "direct", "--perturb", "drag", "--out", str(out), "--json", "--seconds", "45"]
    assert main([*SHORT, *call]) == 0
    printed = capsys.readouterr().out
    assert "Recovered: a quarter of a turn" in printed and "ours, twin, drag" in printed
    found = json.loads(printed.strip().splitlines()[-1])["direct"]["cross"]["recovery"]
    assert found["perturbed"] == 1 and found["rate"] == found["recovered"]
    assert json.loads((out / "summary.json").read_text())["direct"]["cross"]["recovery"] == found


def test_until_decided_stops_early(monkeypatch, tmp_path, capsys):
    class Trials:
        def __init__(self, folder, *_):
            self.folder = folder

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def run(self, jobs, bar):
            for job in jobs:
                good = job.entrant.label == "good"
                self.folder.write(job, {
                    "seed": job.seed, "progress": 1.0 if good else 0.1, "complete": good, "seconds": 0.4,
                    "kind": "complete" if good else "slip",
                })  # fmt: skip

    monkeypatch.setattr(command, "TwinTrials", Trials)
    call = ["--policies", "good=direct", "bad=nut-student", "--trials", "50", "--out", str(tmp_path), "--until-decided"]
    assert main([*SHORT, *call]) == 0
    assert 4 < len(list((tmp_path / "trials").iterdir())) / 2 < 15
    assert "good against bad: decided after" in capsys.readouterr().out


@pytest.mark.slow
def test_videos(in_this_process, tmp_path, has_opengl):
    if not has_opengl:
        pytest.skip("no OpenGL here")
    assert main([*SHORT, "--policies", "direct", "--videos", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "videos" / "direct-cross-0000.mp4").stat().st_size > 1000


@pytest.mark.slow
def test_trials_run_in_processes_of_their_own(tmp_path):
    assert main([*SHORT, "--policies", "direct", "--out", str(tmp_path), "--processes", "2"]) == 0
    assert len(list((tmp_path / "trials").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.real_time
def test_over_the_network(in_this_process, tmp_path, capsys):
    pytest.importorskip("rtde_control")
    call = ["--policies", "direct", "--robot", "server", "--json", "--out", str(tmp_path)]
    assert main([*SHORT, *call]) == 0
    told = capsys.readouterr().out
    assert json.loads(told.strip().splitlines()[-1])["direct"]["cross"]["trials"] == 1 and "ours, twin's server" in told


ROBOT = ["--robot", "config", "--arm", "192.0.2.1", "--hand", "tcp://127.0.0.1:5557"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policies", "direct", "--trials", "0"], "at least 1"),
        (["--policies", "direct", "--shapes", "octagon"], "choose from triangle, square, hexagon, cross"),
        (["--policies", "direct", "--stratum", "harder"], "unknown stratum 'harder'"),
        (["--policies", "direct", "--task", "bolt"], "choose from nut, screwdriver"),
        (["--policies", "direkt"], "direkt"),
        ([], "--policies needs at least one"),
        (["--policies", "direct", "--perturb", "kick"], "choose from drag"),
        (["--policies", "direct", "--perturb", "drag", "--seconds", "42"], "with --perturb needs 43 s"),
        (["--policies", "direct", "--perturb", "drag", "--stagnation", "20"], "by stagnation before 23 s"),
        (["--policies", "direct", "--seconds", "nan"], "--seconds"),
        (["--policies", "direct", "--seconds", "0"], "--seconds"),
        (["--policies", "direct", "--seconds", "10.04"], "--seconds must be a multiple of a control step, 0.05 s"),
        (["--policies", "direct", "--stagnation", "-1"], "--stagnation"),
        (["--policies", "direct", "--processes", "-1"], "at least 0"),
        (["--policies", "direct", "--robot", "server", "--processes", "2"], "serves one twin at a time"),
        (["--policies", "direct", "--until-decided"], "at least two policies"),
        (["--policies", "direct", "--videos", "1", "--logs", "no"], "drawn from recordings"),
        (["--policies", "direct", "--arm", "192.0.2.1"], "--arm: only with --robot config"),
        (["--policies", "direct", "--robot", "config"], "addresses of both its parts"),
        (["--policies", "direct", *ROBOT, "--perturb", "drag"], "for twins in this process"),
        (["--policies", "direct", "--robot", "server", "--perturb", "drag"], "for twins in this process"),
        (["--policies", "direct", "--robot", "server", "--logs", "yes", "--videos", "1"], "leave --robot out"),
        (["--policies", "direct", *ROBOT, "--turns-needed", "-8"], "--turns-needed"),
        (["--policies", "replay:nowhere:3"], "nowhere"),
    ],
)
def test_bad_arguments_are_refused_before_any_trial(arguments, words, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_policy_that_needs_what_the_robot_does_not_give_is_refused(monkeypatch, tmp_path, capsys):
    class Blind(DexScrewRealEnv):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, observe=("hand_q",), **kwargs)

    monkeypatch.setattr("benchmark.real_eval.trial.DexScrewRealEnv", Blind)
    assert main([*SHORT, "--policies", "direct", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "direct cannot act on this robot" in told and "history" in told
    assert not (tmp_path / "out").exists()


def test_a_dry_run_connects_nothing(tmp_path, capsys):
    call = ["--policies", "direct", "mine=nut-student", *ROBOT, "--dry-run", "--shapes", "square", "--trials", "2"]
    assert main([*call, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.count("| square") == 4
    call = ["--policies", "direct", "--dry-run", "--shapes", "square", "--trials", "3", "--out", str(tmp_path / "out")]
    assert main(call) == 0
    told = capsys.readouterr().out
    assert told.count("| square") == 3 and "enter 'go'" not in told
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_on_the_robot(monkeypatch, tmp_path, capsys):
    robot, person = FakeRobot(), Person("go", "8", "yes", "go", "2", "slip", "yes")

    def make_env(rules, shape, where):
        assert where.arm == "192.0.2.1"
        env = DexScrewRealEnv("nut", robot=robot, action="full", shape=shape)
        env.episode_steps = round(rules.limit / 0.05)
        return env

    monkeypatch.setattr(command, "make_env", make_env)
    monkeypatch.setattr(command, "Terminal", lambda: person)
    assert main([*SHORT, "--policies", "direct", *ROBOT, "--trials", "2", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["direct"]["cross"]
    assert found["progress"] == [1.0, 0.25] and found["ended_by"] == {"complete": 1, "slip": 1}
    assert robot.closed and (tmp_path / "contact.png").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--policies", "scripted-wrist", *ROBOT], "give --robot twin"),
        (["--policies", "scripted-wrist", "--robot", "server"], "give --robot twin"),
        (["--policies", "direct", *ROBOT, "--hand", "nowhere"], "nowhere"),
        (["--policies", "direct", *ROBOT, "--stratum", "hard"], "--stratum is for twins"),
        (["--policies", "direct", *ROBOT, "--stagnation", "5"], "--stagnation is for twins"),
        (["--policies", "direct", *ROBOT, "--processes", "2"], "--processes is for twins"),
    ],
)
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_what_a_robot_cannot_do_is_refused_before_it_is_connected(given, words, dry, tmp_path, capsys):
    assert main([*SHORT, *given, *dry, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_worker_is_told_and_what_was_done_is_kept(monkeypatch, in_this_process, tmp_path, capsys):
    call = [*SHORT, "--policies", "direct", "--out", str(tmp_path)]
    assert main(call) == 0

    def killed(*_):
        raise CutShort("a worker process was killed")

    monkeypatch.setattr(on_twin, "work", killed)
    assert main([*call, "--trials", "2"]) == 4
    assert "a worker process was killed" in capsys.readouterr().err
    assert len(list((tmp_path / "trials").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("record", ['"progress": null', '"complete": 1', '"kind": 3, "seconds": "long"'])
def test_a_trial_that_was_edited_is_named(in_this_process, tmp_path, capsys, record):
    call = [*SHORT, "--policies", "direct", "--out", str(tmp_path)]
    assert main(call) == 0
    (path,) = (tmp_path / "trials").iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | json.loads("{" + record + "}")))
    assert main(call) == 2
    assert f"{path} is not the record of a trial" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--robot", "config"], ["--robot=config"]])
def test_an_evaluation_on_a_robot_ends_with_its_parent(monkeypatch, tmp_path, given):
    followed = []
    monkeypatch.setattr(program, "follow_parent", lambda: followed.append(True))
    monkeypatch.setattr(command, "_on_robot", lambda *_: 0)
    addresses = ["--arm", "127.0.0.9", "--hand", "tcp://127.0.0.9:5557"]
    assert main([*given, *addresses, "--policies", "direct", "--out", str(tmp_path / "out")]) == 0
    assert followed == [True]


@pytest.mark.slow
def test_a_full_disk_while_recording_keeps_the_trials_before(monkeypatch, in_this_process, tmp_path):
    out, keep = tmp_path / "out", on_twin.TwinTrials._keep_rows
    call = [*SHORT, "--policies", "direct", "--trials", "2", "--out", str(out)]

    kept = []

    def full(self, job, done):
        if kept:  # trials end in any order
            raise OSError(28, "No space left on device", "log")
        kept.append(job)
        keep(self, job, done)

    monkeypatch.setattr(on_twin.TwinTrials, "_keep_rows", full)
    assert main(call) == 4
    assert len(list((out / "trials").iterdir())) == 1
    monkeypatch.setattr(on_twin.TwinTrials, "_keep_rows", keep)
    assert main(call) == 0
    assert len(list((out / "trials").iterdir())) == 2
