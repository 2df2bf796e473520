from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import mujoco
import pytest
import torch

from dexscrew_envs.hands import XHAND_LEFT, Finger, Hand, get_hand, load_hand, register_hand
from dexscrew_envs.mdp.observations import PRIVILEGED_SLICES
from dexscrew_envs.tasks import make_task
from dexscrew_envs.vector_env import DexScrewVectorEnv

GRIPPER = '''
import mujoco
from dexscrew_envs.hands import Finger, Hand

MODEL = """
<mujoco>
  <compiler angle="radian"/>
  <option integrator="implicitfast"/>
  <default>
    <joint armature="1e-3" damping="0.05"/>
  </default>
  <worldbody>
    <body name="wrist" mocap="true">
      <geom size="0.01" contype="0" conaffinity="0"/>
      <body name="finger" pos="0 0.1 -0.05">
        <joint name="swing" axis="1 0 0" range="-1 1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.06" size="0.006"/>
        <site name="finger_end" pos="0 0 -0.06"/>
      </body>
      <body name="thumb" pos="0 0.02 -0.05">
        <joint name="fold" axis="-1 0 0" range="-1 1"/>
        <joint name="turn" axis="0 1 0" range="-1 1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.06" size="0.006"/>
        <site name="thumb_end" pos="0 0 -0.06"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="swing" joint="swing" kp="3" kv="0.1"/>
    <position name="fold" joint="fold" kp="3" kv="0.1"/>
    <position name="turn" joint="turn" kp="3" kv="0.1"/>
  </actuator>
</mujoco>
"""

GRIPPER = Hand(
    name="gripper", side="right", spec=lambda: mujoco.MjSpec.from_string(MODEL), palm="wrist",
    joints=("swing", "fold", "turn"), thumb=("fold", "turn"),
    fingers=(
        Finger(name="thumb", root="thumb", tip="thumb_end", pad="thumb", opening={"fold": -1.0}),
        Finger(name="finger", root="finger", tip="finger_end", pad="finger", opening={"swing": 1.0}),
    ),
    tasks={"nut": {
        "start_pose": (0.0, 0.0, 0.0), "action_scale": 0.03, "hand_pitch": (0.0, 0.0), "hand_position": (0.0, 0.0, 0.2),
        "object_position": (0.0, 0.06, 0.0), "reset_distance": 0.1,
    }},
)
'''


@pytest.fixture
def gripper(tmp_path) -> Hand:
    path = tmp_path / "gripper.py"
    path.write_text(GRIPPER)
    return load_hand(str(path))


def test_every_size_follows_from_the_hand(gripper):
    env = DexScrewVectorEnv("nut", 3, hand="gripper", num_threads=1, observe=("proprio", "history", "privileged",
                                                                             "fingertip_force"))  # fmt: skip
    assert env.task.hand is gripper and env.task.action_scale == 0.03
    observation, _ = env.reset(seed=0)
    assert env.single_action_space.shape == (3,)
    assert observation["proprio"].shape == (3, 3, 6) and observation["history"].shape == (3, 30, 6)
    assert observation["fingertip_force"].shape == (3, 2, 3)
    sizes = {name: place.stop - place.start for name, place in env.privileged_layout.items()}
    assert (sizes["kp"], sizes["start_pose"], sizes["fingertip_orientation"], sizes["nut_phase"]) == (3, 3, 8, 2)
    assert sizes == {name: PRIVILEGED_SLICES[name].size(gripper) for name in sizes}
    for _ in range(5):
        observation, reward, *_ = env.step(torch.ones(3, 3))
    assert all(value.isfinite().all() for value in (*observation.values(), reward))
    assert env.observation_space.contains({key: value.numpy() for key, value in observation.items()})


def test_a_fingertips_force_is_that_on_its_own_pad(gripper):
    """The second finger presses on the nut and the thumb does not."""
    env = DexScrewVectorEnv("nut", 1, hand=gripper, num_threads=1, observe=("fingertip_force",), randomize=False)
    env.reset(seed=0)
    for _ in range(20):
        observation, *_ = env.step(torch.tensor([[-1.0, 0.0, 0.0]]))
    force = observation["fingertip_force"][0].norm(dim=1)
    assert force[1] > 0.05 and force[0] == 0


def test_an_action_of_another_hand_is_refused(gripper):
    env = DexScrewVectorEnv("nut", 2, hand=gripper, num_threads=1)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must have shape \(2, 3\), got \(2, 12\)"):
        env.step(torch.zeros(2, 12))


def test_the_posture_term_leaves_out_the_thumb(gripper):
    task = make_task("nut", hand=gripper)
    assert len(task.hand.joints) - len(task.hand.thumb) == 1
    assert XHAND_LEFT.joints[: -len(XHAND_LEFT.thumb)][-1] == "ring_2"


def test_fields_of_the_hand_yield_to_those_that_were_asked_for(gripper):
    assert make_task("nut", hand=gripper, action_scale=0.01).action_scale == 0.01
    assert make_task("nut", hand=gripper).locked_joints == () == make_task("nut", hand=gripper).target_ranges
    assert make_task("nut", hand="xhand_left") == make_task("nut")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hand": "griper"}, r"nut: unknown hand 'griper'; did you mean 'gripper'\?.* --hand my_hand.py"),
        ({"hand": 3}, "nut: hand must be a Hand or the name of one, got 3"),
        ({"hand": "gripper", "start_pose": (0.0,) * 12}, "start_pose must have 3 numbers, one for each joint of"),
        ({"hand": "gripper", "locked_joints": (3,)}, "locked_joints must be between 0 and 2"),
        ({"hand": "gripper", "target_ranges": (("thumb_bend", 0.0, 1.0),)}, "target_ranges must be"),
        ({"target_ranges": (("thumb_bend", 1.0, 0.0),)}, "target_ranges must be .*low <= high"),
        ({"target_ranges": (("thumb_bend", 0.0),)}, "target_ranges must be"),
        ({"target_ranges": (("thumb_bend", 0.0, 1.0), ("thumb_bend", 0.1, 1.0))}, "different joints"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_hand_is_refused(gripper, changes, message):
    with pytest.raises(ValueError, match=message):
        make_task("nut", **changes)


def test_a_task_without_numbers_for_the_hand_is_refused(gripper):
    with pytest.raises(ValueError, match="the hand 'gripper' has no numbers for the task 'screwdriver', only for nut"):
        make_task("screwdriver", hand=gripper)


def test_a_hand_is_copied_as_itself_and_pickled_by_name(gripper):
    assert copy.deepcopy(gripper) is gripper and copy.copy(XHAND_LEFT) is XHAND_LEFT
    assert pickle.loads(pickle.dumps(gripper)) is gripper
    task = make_task("nut", hand=gripper)
    assert pickle.loads(pickle.dumps(task)) == task
    assert task.values()["hand"] == "gripper"


def finger(name: str, opening: str) -> Finger:
    return Finger(name=name, root=name, tip=name, pad=name, opening={opening: 1.0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": ("a", "a", "b")}, "two joints of one name: a, a, b"),
        ({"fingers": (finger("f", "a"), finger("f", "b"))}, "two fingers of one name: f, f"),
        ({"fingers": (finger("f", "a"),)}, "a thumb and a finger that opposes it"),
        ({"fingers": (finger("f", "a"), finger("g", "c"))}, "has no joint 'c'; it has a, b"),
        ({"thumb": ("a",)}, "must list its thumb's joints last"),
        ({"parting": {("f", "g"): {"x": 1.0}}}, "has no joint 'x'"),
    ],
)
def test_a_hand_that_contradicts_itself_is_refused(changes, message):
    sound = {
        "name": "h", "side": "left", "spec": mujoco.MjSpec, "joints": ("a", "b"), "thumb": ("b",), "tasks": {},
        "fingers": (finger("f", "b"), finger("g", "a")),
    }  # fmt: skip
    Hand(**sound)
    with pytest.raises(ValueError, match=message):
        Hand(**{**sound, **changes})


def test_a_model_in_another_order_is_refused(gripper):
    swapped = replace(gripper, name="swapped", joints=("swing", "turn", "fold"), thumb=("turn", "fold"))
    with pytest.raises(ValueError, match="the model of the hand 'swapped' must list joints and actuators in"):
        DexScrewVectorEnv("nut", 1, hand=swapped)


def test_files_that_make_no_hand_or_several_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none.py to load a hand from"):
        load_hand(str(tmp_path / "none.py"))
    (tmp_path / "empty.py").write_text("from dexscrew_envs.hands import XHAND_LEFT\n")
    with pytest.raises(ValueError, match=r"empty.py must make one Hand, and makes none"):
        load_hand(str(tmp_path / "empty.py"))
    with pytest.raises(ValueError, match="unknown hand 'nobody'"):
        load_hand("nobody")
    with pytest.raises(TypeError, match="a hand must be a Hand, got dict"):
        register_hand({})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'xhand_left' is a hand of this package"):
        register_hand(replace(XHAND_LEFT, side="right"))


def test_a_hand_of_an_installed_package_is_found_by_its_entry_point(monkeypatch, gripper):
    class Entry:
        name = "packaged"

        def load(self):
            return replace(gripper, name="packaged")

    monkeypatch.setattr(
        "dexscrew_envs.hands.entry_points",
        lambda group, name=None: [Entry()] if name in (None, "packaged") and group == "dexscrew.hands" else [],
    )
    assert make_task("nut", hand="packaged").hand.name == "packaged"
    assert get_hand("packaged") is get_hand("packaged")


def test_start_states_of_another_hand_do_not_touch(gripper):
    env = DexScrewVectorEnv("nut", 64, hand=gripper, num_threads=1, observe=("fingertip_force",))
    observation, _ = env.reset(seed=0)
    assert not observation["fingertip_force"].any()
    assert all(env.sim.render_state(k)[1].ncon == 0 for k in range(0, 64, 8))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def broken(:", "mine.py cannot be loaded: SyntaxError"),
        ("import no_such_package", "mine.py cannot be loaded: ModuleNotFoundError: No module named 'no_such_package'"),
        (GRIPPER.replace('root="finger"', 'root="fingr"'), "'gripper' has no body 'fingr'; it has finger, thumb, w"),
        (GRIPPER.replace('tip="thumb_end"', 'tip="end"'), "the model of the hand 'gripper' has no site 'end'"),
        (GRIPPER.replace(' mocap="true"', ""), "the palm 'wrist' of the hand 'gripper' must be a mocap body"),
        (
            GRIPPER.replace(
                '<joint name="turn" axis="0 1 0" range="-1 1"/>', '<joint name="spin" axis="0 1 0"/>'
            ).replace('joint="turn"', 'joint="spin"'),
            "has the joints swing, fold, spin, and its record swing, fold, turn",
        ),
        (GRIPPER.replace("<worldbody>", '<worldbody><geom type="plane" size="1 1 1"/>'), "without a floor or the like"),
        (GRIPPER.replace('"start_pose":', '"start_pos":'), "the task has no field 'start_pos'"),
        (GRIPPER.replace('"action_scale": 0.03, ', ""), "the task needs 'action_scale'"),
    ],
)
def test_a_fault_in_a_users_file_is_told_as_theirs(tmp_path, code, message):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(ValueError, match=message):
        DexScrewVectorEnv("nut", 1, hand=load_hand(str(tmp_path / "mine.py")))


def test_a_file_is_run_once_and_again_after_an_edit(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(GRIPPER)
    first = load_hand(str(path))
    assert load_hand(str(path)) is first
    path.write_text(GRIPPER + "\n# edited\n")
    assert load_hand(str(path)) is not first
