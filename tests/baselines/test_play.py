"""What keys do to a task that is played, and the window that shows it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest
from fakes import SHORT_NUT

from baselines import play, policies
from baselines.play import KEYS, Player, Still, texts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SPACE, BACKSPACE = 32, 259


@pytest.fixture(scope="module")
def made(short_nut):
    player = Player(policies.load("nut-student"), seed=3)
    yield player
    player.env.close()


@pytest.fixture
def player(made):
    """The module's one player, as it was at first: making one takes seconds."""
    made.paused, made.news, made.shape = False, "", "triangle"
    if not made.noise:
        made.press(ord("N"))
    made.begin()
    return made


def step(player, count: int = 1) -> None:
    """Take steps, and draw."""
    for _ in range(count):
        player.step()
    player.mirror()


def press(player, keys: str) -> None:
    for key in keys:
        player.press(ord(key))


def shown_nut(player) -> str:
    """Return the shape that is drawn."""
    return player.model.mesh(player.model.geom("nut_0").dataid[0]).name.split("_")[0]


def written(player) -> dict[str, str]:
    """Return the names that are written at the top left, and their values."""
    _, place, names, values = texts(player, "nut-student")[0]
    assert place == mujoco.mjtGridPos.mjGRID_TOPLEFT
    return dict(zip(names.replace("  ", "").split("\n"), values.split("\n"), strict=True))


def test_a_step_moves_the_hand_and_what_is_drawn(player):
    before = player.data.qpos.copy()
    step(player)
    assert player.steps == 1 and player.seconds == pytest.approx(0.05)
    assert (player.data.qpos != before).any()
    np.testing.assert_array_equal(player.data.qpos, player.env.sim.batch.qpos[0])


def test_space_pauses_and_goes_on(player):
    player.press(SPACE)
    before = player.data.qpos.copy()
    step(player)
    assert player.steps == 0
    np.testing.assert_array_equal(player.data.qpos, before)
    assert "paused" in [text for _, _, text, _ in texts(player, "")]
    player.press(SPACE)
    step(player)
    assert player.steps == 1
    assert "paused" not in [text for _, _, text, _ in texts(player, "")]


@pytest.mark.parametrize("key", [ord("R"), BACKSPACE])
def test_r_and_backspace_begin_anew(player, key):
    step(player, 3)
    before = player.data.qpos.copy()
    player.press(key)
    assert player.steps == 0 and player.turns == 0 and set(player.terms.values()) == {0.0}
    assert (player.data.qpos != before).any(), "the window shows the new episode even while it is paused"


def test_s_goes_through_all_shapes_and_begins_anew(player):
    assert player.shapes == SHORT_NUT.shapes
    found = []
    for _ in range(len(player.shapes) + 1):
        assert shown_nut(player) == player.shape
        found.append(player.shape)
        step(player)
        press(player, "S")
        assert player.steps == 0
    assert found == [*SHORT_NUT.shapes, SHORT_NUT.shapes[0]]


def test_the_next_episode_has_the_same_shape(player):
    press(player, "S")
    for _ in range(4):
        press(player, "R")
        assert shown_nut(player) == "square"


def test_p_turns_the_nut_back_for_a_moment(player):
    batch, torques = player.env.sim.batch, []
    press(player, "P")
    for _ in range(4):
        step(player)
        axis = player.data.xaxis[player.model.joint("nut").id]
        torques.append(batch.xfrc_applied[0, player.model.body("nut").id, 3:] @ axis)
    np.testing.assert_allclose(torques, [-0.1, -0.1, 0, 0], atol=1e-9)


def test_a_push_turns_a_free_nut_back():
    player = Player(Still("nut", hand_position=(0.0, -0.2, 0.3), reset_distance=1.0))
    player.env.sim.batch.qpos[0, player.model.joint("nut").qposadr[0]] = 10 * 2 * np.pi  # its joint ends at 0
    press(player, "P")
    step(player, 6)
    assert 7 < player.turns < 9.9


def test_n_switches_noise_and_pushes_off_and_on(player):
    trained = player.env.task
    press(player, "N")
    assert player.env.task.observation_noise == player.env.task.action_noise == (0.0, 0.0)
    assert player.env.task.push_force == 0 and player.env.task.friction == trained.friction
    assert written(player)["noise"] == "off"
    step(player)
    np.testing.assert_array_equal(player.env.sim.batch.xfrc_applied[0], 0.0)
    targets = player._observation["proprio"][0, -1, 12:]
    np.testing.assert_allclose(player.data.ctrl, targets, atol=1e-6)
    press(player, "N")
    assert player.env.task == trained
    step(player)
    targets = player._observation["proprio"][0, -1, 12:]
    assert np.abs(player.data.ctrl - targets.numpy()).max() > 1e-3


def test_other_keys_do_nothing(player):
    step(player)
    before = player.data.qpos.copy()
    press(player, "XQ1")
    player.press(-1)
    assert player.steps == 1 and not player.paused
    np.testing.assert_array_equal(player.data.qpos, before)


def test_an_episode_that_ends_says_why_and_another_begins(player):
    steps, news = 0, ""
    while not news:
        steps, news = steps + 1, player.step()
    reason = {16: "time limit", 8: "stagnation"}.get(steps, "fingers away")
    assert news == player.news and news.endswith(f"turns in {0.05 * steps:.1f} s, ended by {reason}")
    assert player.steps == 0
    assert news in [text for _, _, _, text in texts(player, "")]


def test_time_turns_and_every_term_of_the_reward_are_written(player):
    step(player, 4)
    rows = written(player)
    assert rows["policy"] == "nut-student" and rows["shape"] == "triangle" and rows["time"] == "0.2 s"
    assert rows["turns"] == f"{player.turns:.2f}"
    terms = [float(rows[name]) for name in ("rotate", "proximity", "pose", "torque", "work", "overspeed", "height")]
    assert float(rows["reward"]) == pytest.approx(sum(terms), abs=0.05)
    keys = [text for _, place, text, _ in texts(player, "") if place == mujoco.mjtGridPos.mjGRID_BOTTOMLEFT]
    assert keys == ["\n".join(KEYS)]
    assert all(text.isascii() for row in texts(player, "nut-student") for text in row[2:]), "the font has no more"


def test_the_same_seed_plays_the_same_episode():
    found = []
    for _ in range(2):
        player = Player(policies.load("nut-student"), "cross", seed=5)
        step(player)
        found.append(player.data.qpos.copy())
    np.testing.assert_array_equal(*found)


def test_without_a_policy_the_hand_holds_still():
    player = Player(play.load(play.Args(policy="none", task="screwdriver")))
    press(player, "N")
    before = player.data.qpos[:12].copy()
    step(player, 10)
    np.testing.assert_allclose(player.data.qpos[:12], before, atol=0.02)


@pytest.mark.parametrize(
    ("arguments", "policy", "task"),
    [
        ((), "nut-student", "nut"),
        (("screwdriver",), "screwdriver-student", "screwdriver"),
        (("", "screwdriver-oracle"), "screwdriver-oracle", "screwdriver"),
    ],
)
def test_the_task_brings_its_student_and_a_policy_its_task(arguments, policy, task):
    found = play.load(play.Args(**dict(zip(("task", "policy"), arguments, strict=False))))
    assert found.task == task
    assert policies.fingerprint(found) == policies.fingerprint(policies.load(policy))


HAND = """
from dataclasses import replace
from dexscrew_envs.hands import XHAND_LEFT
HAND = replace(XHAND_LEFT, name="mine")
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--policy", "nut-studnt"), "did you mean 'nut-student'"),
        (("--policy", "there/is/none.pt"), "there is no file"),
        (("--task", "bolt"), "unknown task 'bolt'; choose from nut, screwdriver"),
        (("--task", "screwdriver", "--policy", "nut-student"), "nut-student was trained for the task 'nut', not"),
        (("--shape", "squar"), "unknown shape 'squar'; choose from triangle, square, hexagon, cross"),
        (("--policy", "none", "--shape", "octagon"), "unknown shape 'octagon'"),
        (("--seed", "-1"), "seed must be a non-negative integer"),
        (("--seconds", "0"), "--seconds must be positive, got 0.0"),
        (("--seconds", "nan"), "--seconds must be positive, got nan"),
        (("--hand", "no.py"), "there is no file no.py to load a hand from"),
        (("--hand", "{hand}"), "nut-student was trained with the hand 'xhand_left', not 'mine'"),
    ],
)
def test_what_cannot_be_is_refused_before_a_window_opens(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(play, "Window", lambda *_: pytest.fail("a window was opened"))
    (tmp_path / "hand.py").write_text(HAND)
    arguments = [argument.format(hand=tmp_path / "hand.py") for argument in arguments]
    assert play.main(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and captured.out == ""


@pytest.mark.skipif(sys.platform != "linux", reason="a desktop is taken for granted elsewhere")
@pytest.mark.parametrize(
    ("display", "said"), [("", "DISPLAY is not set"), (":77", "the display ':77' does not answer")]
)
def test_without_a_display_one_sentence_says_so(display, said):
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-m", "baselines.play"], cwd=ROOT, env=environment | ({"DISPLAY": display} if display else {}),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: no window can be opened: ") and said in done.stderr
    assert "--video" in done.stderr and done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def display():
    """A screen that nobody sees."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed (Debian: apt-get install xvfb libgl1)")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server:
        os.close(writer)
        with os.fdopen(reader) as answer:
            number = answer.readline().strip()
        yield f":{number}"
        server.terminate()


def start(display: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "baselines.play", *arguments], cwd=ROOT, env=os.environ | {"DISPLAY": display},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_window_opens_and_closes_by_itself(display):
    process = start(display, "--seconds", "2", "--policy", "none", "--shape", "square")
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert error == ""
    assert [line.split()[0] for line in out.splitlines()[: len(KEYS)]] == list(KEYS)


def test_ctrl_c_closes_the_window(display):
    process = start(display)
    assert process.stdout.readline().split()[0] == "space"  # it is open
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT
    assert error == "ended by SIGINT\n"
