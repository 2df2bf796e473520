"""Another hand: the Shadow Dexterous Hand, right, 22 joints, from the package gymnasium-robotics (Apache-2.0 model).

`pip install gymnasium-robotics` and `python -m baselines.ppo_oracle --task nut --hand examples/shadow_hand.py`

Nothing of the model is copied: it is read from that package, and what does not belong to the hand is left out (forearm,
wrist, tendons, motors, sensors). The joints get position actuators of their own.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import mujoco

from dexscrew_envs.hands import Finger, Hand

_FINGERS = {"ff": 4, "mf": 4, "rf": 4, "lf": 5, "th": 5}
"""First letters of each finger's names, and how many joints it has, numbered down to 0 at the tip."""
JOINTS = tuple(f"robot0:{name.upper()}J{k}" for name, count in _FINGERS.items() for k in reversed(range(count)))
_TORQUE = 1.0
"""Limit of each motor (N m): about that of the XHand's stronger ones; the real hand's tendons are not modelled."""


def _spec() -> mujoco.MjSpec:
    """Return the palm and all below it, in the palm's frame of our tasks: fingers along -z, palmar side -y."""
    package = find_spec("gymnasium_robotics")  # found, not imported: it would import its own environments
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            "the Shadow hand is in the package gymnasium-robotics: pip install gymnasium-robotics"
        )
    spec = mujoco.MjSpec.from_file(str(Path(package.origin).parent / "envs" / "assets" / "hand" / "reach.xml"))
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    world, mount = spec.worldbody, spec.body("robot0:hand mount")
    others = [body for body in world.bodies if body.name != mount.name]
    others += [texture for texture in spec.textures if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX]
    for elements in (spec.tendons, spec.pairs, spec.sensors, spec.actuators, spec.equalities, world.geoms, world.lights,
                     others):  # fmt: skip
        for element in list(elements):
            spec.delete(element)
    mount.name, mount.mocap, mount.pos, mount.quat = "palm", True, [0, 0, 0], [1, 0, 0, 0]
    for name in ("robot0:forearm", "robot0:wrist", "robot0:palm"):  # one rigid body, without what is above the palm
        body = spec.body(name)
        body.pos, body.quat = [0, 0, 0], [1, 0, 0, 0]
        for element in [*body.joints, *(body.geoms if name != "robot0:palm" else [])]:
            spec.delete(element)
    spec.body("robot0:palm").quat = [0, 0, 1, 0]  # its fingers are along +z

    for body in spec.bodies:
        for geom in body.geoms:
            touches = geom.classname.name == "robot0:DC_Hand" and body.name not in (
                "robot0:palm",
                "robot0:lfmetacarpal",
            )
            geom.contype = geom.conaffinity = int(touches)
            geom.margin, geom.condim = 0.0, 3
        for joint in body.joints:
            joint.margin, joint.armature, joint.damping = 0.0, 2e-4, [0.01, 0.0, 0.0]
    spec.add_exclude(bodyname1="robot0:thproximal", bodyname2="robot0:thmiddle")  # the hub between them has no size
    for name in JOINTS:
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.set_to_position(kp=3.0, kv=0.01)
        motor.forcelimited, motor.forcerange = True, [-_TORQUE, _TORQUE]
    return spec


def _finger(name: str) -> Finger:
    bending = {"th": ("THJ3",)}.get(name, (f"{name.upper()}J2", f"{name.upper()}J1"))
    return Finger(
        name=name,
        root={"lf": "robot0:lfmetacarpal", "th": "robot0:thbase"}.get(name, f"robot0:{name}knuckle"),
        tip=f"robot0:S_{name}tip",
        pad=f"robot0:{name}distal",
        opening={f"robot0:{joint}": -1.0 for joint in bending},
    )


SHADOW_RIGHT = Hand(
    name="shadow_right",
    side="right",
    spec=_spec,
    joints=JOINTS,
    fingers=tuple(_finger(name) for name in ("th", "ff", "mf", "rf", "lf")),
    thumb=JOINTS[-5:],
    parting={("ff", "mf"): {"robot0:FFJ3": 0.5}},
    tasks={
        "nut": {
            # Found by inverse kinematics: the tips of thumb and first finger where the XHand has those of its own.
            "start_pose": (
                0.159,
                0.498,
                0.769,
                0.807,
                0.114,
                0.551,
                0.778,
                0.801,
                0.0,
                0.3,
                0.0,
                0.0,
                0.0,
                0.0,
                0.3,
                0.0,
                0.0,
                0.226,
                0.981,
                0.2,
                -0.134,
                -0.052,
            ),
            "hand_position": (0.0424, -0.0628, 0.1787),
            "object_position": (-0.00375, -0.00375, 0.0),
            "action_scale": 0.04167,
            "locked_joints": tuple(range(8, 17)),  # of the ring and the little finger
        },
    },
)
