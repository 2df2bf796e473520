"""The twin's scene: a UR5e with an XHand over a table, and the object's base where the simplified task has it.

The world is the controller's base frame, with the arm on a table. The *task frame* is that of the simplified tasks: the
object's base is at its origin, up to the task's `object_position`, and at the start the palm has the pose that the
simplified task has without noise: `hand_position`, pitched by 65 degrees. So a policy meets the same geometry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dexscrew_envs.hands.xhand import FINGERS, XHAND_LEFT
from dexscrew_envs.tasks import Task
from real.twin.solids import FIXED, MOVING

TASK_POSITION = (-0.10, -0.48, 0.16)
"""Origin of the task frame in the base frame (m)."""
TASK_YAW = math.pi
"""Rotation of the task frame about the base frame's z axis (rad): the hand points away from the arm."""
TASK_ROTATION = np.round(  # what is 0 is 0, so that half a turn moves nothing by a rounding error
    [[math.cos(TASK_YAW), -math.sin(TASK_YAW), 0], [math.sin(TASK_YAW), math.cos(TASK_YAW), 0], [0, 0, 1]], 15
)
"""The same as a matrix (3, 3)."""
MOUNT_QUAT = (0.0, 0.0, 1.0, 0.0)
"""Orientation of the palm in the flange frame, (w, x, y, z): half a turn about y, so that the hand points out of the
flange. The palm's origin is the flange's: there is no adapter between."""
START_ARM = (-1.484285506685, -1.661880431659, -1.693857220636, 2.917968527872, -1.492408406304, 0.03663613553)
"""Joint positions of the arm with the palm in its pose of the start, elbow up (rad)."""
_ARM_MODEL = Path(__file__).parent / "assets" / "ur5e.xml"
HAND = "hand_"
"""Prefix of the names of the hand's joints, bodies and actuators."""
ARM_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")
CONTACT_SLOTS = 6
"""Contacts of a fingertip that are sensed; with more, the strongest are."""
CONTACT_SIZE = 13
"""Numbers of a sensed contact: found 1, force 3, position 3, normal 3, first tangent 3."""
POSE_SIZE = 12
"""Numbers of a fingertip's sensed pose, which follow its contacts: position of its link 3, axes x, y and z 9."""


def build_scene(
    task: Task,
    timestep: float,
    *,
    mount_position: Sequence[float] = (0.0, 0.0, 0.0),
    mount_rotation: Sequence[float] = (0.0, 0.0, 0.0),
    pad_thickness: Sequence[float] = (0.0,) * len(FINGERS),
) -> tuple[mujoco.MjSpec, Any]:
    """Return the scene without nut or screw, and the fixed body of the object's base to add them to.

    Args:
        task: gives the position of the object's base, in the task frame.
        timestep: of the physics (s).
        mount_position: (3,) error of the palm's position in the flange's frame (m).
        mount_rotation: (3,) error of its orientation: a rotation vector in that frame (rad).
        pad_thickness: (5,) what each fingertip's elastomer is thicker than the model's (m), in the order of `FINGERS`.
    """
    spec, hand = mujoco.MjSpec.from_file(str(_ARM_MODEL)), XHAND_LEFT.spec()
    spec.modelname = f"twin_{task.name}"
    spec.option.timestep = hand.option.timestep = timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET.value
    palm = hand.body("palm")
    palm.mocap = False
    for geom in palm.geoms:
        geom.contype, geom.conaffinity = MOVING["contype"], MOVING["conaffinity"]
    for joint in hand.joints:  # as the nut's: a softer row creeps
        joint.solimp_friction = [0.999, 0.999, 0.001, 0.5, 2.0]
    palm.add_site(name="sensor", group=4)
    flange = spec.site("flange")
    for finger, thicker in zip(FINGERS, pad_thickness, strict=True):
        for geom in hand.body(f"{finger}_2").geoms:
            if geom.classname.name == "pad":
                geom.size[0] += thicker
    mount = flange.parent.add_frame(pos=flange.pos + mount_position, quat=_turned(mount_rotation, MOUNT_QUAT))
    mount.attach_body(palm, HAND, "")
    _add_sensors(spec)
    _decorate(spec)
    base = spec.worldbody.add_body(
        name="object",
        pos=np.array(TASK_POSITION) + TASK_ROTATION @ np.array(task.object_position),
        quat=[math.cos(TASK_YAW / 2), 0, 0, math.sin(TASK_YAW / 2)],
    )
    base.add_camera(
        name="side", pos=[0.34, 0.32, 0.25], fovy=38, mode=mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY,
        targetbody="object_middle",
    )  # fmt: skip
    base.add_body(name="object_middle", pos=[-0.01, -0.01, 0.08])
    return spec, base


def _turned(rotation: Sequence[float], quat: Sequence[float]) -> NDArray[np.float64]:
    """Return an orientation (w, x, y, z) after a rotation vector (rad)."""
    turn, result = np.zeros(4), np.zeros(4)
    angle = float(np.linalg.norm(rotation))
    mujoco.mju_axisAngle2Quat(turn, np.array(rotation) / max(angle, 1e-12), angle)
    mujoco.mju_mulQuat(result, turn, np.array(quat))
    return result


def add_pedestal(base: Any, top: float) -> None:
    """Add a block from the table up to a height in the base's frame (m)."""
    bottom = -TASK_POSITION[2]
    base.add_geom(
        name="pedestal", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.05, 0.05, (top - bottom) / 2],
        pos=[0, 0, (top + bottom) / 2], material="fixture", **FIXED,
    )  # fmt: skip


def _add_sensors(spec: mujoco.MjSpec) -> None:
    sensor, kind = mujoco.mjtSensor, mujoco.mjtObj
    for name, type_ in (("force", sensor.mjSENS_FORCE), ("torque", sensor.mjSENS_TORQUE)):
        spec.add_sensor(name=name, type=type_, objtype=kind.mjOBJ_SITE, objname=f"{HAND}sensor")
    data = mujoco.mjtConDataField
    fields = (data.mjCONDATA_FOUND, data.mjCONDATA_FORCE, data.mjCONDATA_POS, data.mjCONDATA_NORMAL)
    wanted = sum(1 << item.value for item in (*fields, data.mjCONDATA_TANGENT))
    strongest = 2
    for finger in FINGERS:
        spec.add_sensor(
            name=f"{finger}_contacts", type=sensor.mjSENS_CONTACT, objtype=kind.mjOBJ_BODY, objname=f"{HAND}{finger}_2",
            intprm=[wanted, strongest, CONTACT_SLOTS],
        )  # fmt: skip
        pose = (sensor.mjSENS_FRAMEPOS, sensor.mjSENS_FRAMEXAXIS, sensor.mjSENS_FRAMEYAXIS, sensor.mjSENS_FRAMEZAXIS)
        for type_ in pose:
            spec.add_sensor(type=type_, objtype=kind.mjOBJ_XBODY, objname=f"{HAND}{finger}_2")


def _decorate(spec: mujoco.MjSpec) -> None:
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.headlight.diffuse = [0.35, 0.35, 0.35]
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1920, 1440
    spec.visual.map.znear = 0.02
    spec.visual.quality.shadowsize = 4096
    spec.stat.extent, spec.stat.center = 0.8, [-0.05, -0.3, 0.3]
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.95, 0.98], rgb2=[0.62, 0.68, 0.76], width=64, height=384,
    )  # fmt: skip
    for name, color, shine in (
        ("nut", [0.93, 0.55, 0.16, 1], 0.5),
        ("metal", [0.55, 0.57, 0.60, 1], 0.7),
        ("fixture", [0.78, 0.80, 0.83, 1], 0.2),
        ("table", [0.66, 0.58, 0.48, 1], 0.1),
    ):
        spec.add_material(name=name, rgba=color, specular=shine)
    light = {"castshadow": True, "diffuse": [0.6, 0.6, 0.6], "specular": [0.3, 0.3, 0.3]}
    spec.worldbody.add_light(pos=[-0.5, -0.9, 1.4], dir=[0.35, 0.35, -0.9], **light)
    spec.worldbody.add_light(pos=[0.5, 0.4, 1.2], dir=[-0.4, -0.6, -0.7], castshadow=False, diffuse=[0.25, 0.25, 0.25])
    spec.worldbody.add_camera(name="room", pos=[0.9, -1.2, 0.9], xyaxes=[0.7, 0.714, 0, -0.35, 0.343, 0.872], fovy=45)
    spec.worldbody.add_geom(
        name="table", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.6, 0.6, 0.02], pos=[-0.1, -0.3, -0.02],
        material="table", **FIXED,
    )  # fmt: skip
