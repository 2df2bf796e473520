"""From an engine's arrays to the named state: where in them each quantity stands, and in which convention."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import torch
from torch import Tensor

from dexscrew_envs.hands import Hand
from dexscrew_envs.scene import CONTACT_SENSOR, NUT_JOINT, check_joint_order
from dexscrew_envs.sim.base import State


class Readout:
    """Picks the state out of arrays that are laid out as MuJoCo's.

    Args:
        model: the scene's model.
        hand: its hand.
        device: torch device of the arrays.
    """

    ARRAYS = (
        "qpos", "qvel", "xpos", "xquat", "cvel", "subtree_com", "site_xpos", "actuator_force", "sensordata",
    )  # fmt: skip
    """Names of the arrays of MjData that are read."""

    def __init__(self, model: mujoco.MjModel, hand: Hand, device: torch.device) -> None:
        check_joint_order(model, hand)
        self.hand = slice(0, len(hand.joints))
        """The hand's joints in `qpos` and `qvel`."""
        self.nut = model.joint(NUT_JOINT).qposadr[0]
        """The nut's joint in `qpos` and `qvel`."""
        self.nut_body = model.body("nut").id
        self._object_root = model.body_rootid[self.nut_body]
        self._root = model.body(hand.palm).id
        sites = [model.site(finger.tip).id for finger in hand.fingers]
        self._tip_sites = torch.tensor(sites, device=device)
        self._tip_bodies = torch.tensor(model.site_bodyid[sites], device=device)  # the sites have their orientation
        self._force = model.sensor(CONTACT_SENSOR).adr[0]
        first = model.sensor(f"{hand.fingers[0].name}_force").adr[0]
        self._tip_force = slice(first, first + 3 * len(hand.fingers))

    def state(self, arrays: Mapping[str, Tensor]) -> State:
        """Return a copy of the state of all rows of the arrays."""
        qpos, qvel, xquat, com = arrays["qpos"], arrays["qvel"], arrays["xquat"], arrays["subtree_com"]
        nut, nut_body = self.nut, self.nut_body
        tip_pos, nut_pos = arrays["site_xpos"].index_select(1, self._tip_sites), arrays["xpos"][:, nut_body]
        sensors = -arrays["sensordata"]  # MuJoCo's contact sensor gives the force of its first body on the second
        cvel = arrays["cvel"]
        tip_velocity = _velocity_at(tip_pos, cvel.index_select(1, self._tip_bodies), com[:, None, self._root])
        nut_velocity = _velocity_at(nut_pos, cvel[:, nut_body], com[:, self._object_root])
        tip_force = sensors[:, self._tip_force].unflatten(1, (-1, 3))
        return State(
            joint_pos=_copy(qpos[:, self.hand]),
            joint_vel=_copy(qvel[:, self.hand]),
            torque=_copy(arrays["actuator_force"]),
            nut_angle=_copy(qpos[:, nut]),
            nut_speed=_copy(qvel[:, nut]),
            nut_pos=_copy(nut_pos),
            nut_quat=_copy(xquat[:, nut_body]),
            nut_velocity=nut_velocity.float(),
            nut_force=_copy(sensors[:, self._force : self._force + 3]),
            tip_pos=tip_pos.float(),
            tip_quat=xquat.index_select(1, self._tip_bodies).float(),
            tip_velocity=tip_velocity.float(),
            tip_force=_copy(tip_force),
        )


def _copy(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32, copy=True)


def _velocity_at(point: Tensor, cvel: Tensor, com: Tensor) -> Tensor:
    """Shift MuJoCo's com-based spatial velocities (..., 6) to points (..., 3) of the same bodies."""
    angular, linear = cvel[..., :3], cvel[..., 3:]
    return torch.cat([angular, linear + torch.linalg.cross(angular, point - com)], dim=-1)
