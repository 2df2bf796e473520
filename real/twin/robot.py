"""The twin as a robot in this process, as fast as it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dexscrew_envs.hands import XHAND_LEFT
from real.features import commanded, measured
from real.robot import ArmMode, ArmState, ControlGains, HandState, Progress, Reading, RobotError, Sight, Vector
from real.twin.parameters import STRATA
from real.twin.plant import FARTHEST_ABOVE, Plant
from real.twin.scene import HAND


@dataclass(frozen=True, kw_only=True)
class TwinConfig(ControlGains):
    """A twin in this process.

    Raises:
        ValueError: a value is out of its range, or none that the twin knows.
    """

    stratum: str = "nominal"
    """Group of parameter ranges: easy, nominal, hard or extreme; see docs/twin.md."""
    above: float = 0.0
    """Where the hand begins: 0 at the object, as in the tasks, or open and so far above that (m)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stratum not in STRATA:
            raise ValueError(f"unknown stratum {self.stratum!r}; choose from {', '.join(STRATA)}")
        if not 0 <= self.above <= FARTHEST_ABOVE:
            raise ValueError(f"above must be 0 to {FARTHEST_ABOVE:g} m, got {self.above!r}")
        if self.gains[1] != 0:
            raise ValueError(f"the twin's hand has no integral gain: ki must be 0, got {self.gains[1]}")

    def robot(self, task: str, shape: str | None) -> TwinRobot:
        """Return a twin with this object; a shape of None is the task's first."""
        return TwinRobot(Plant(task, shape, stratum=self.stratum, above=self.above), self)


class TwinRobot:
    """Makes a `Plant` a `Robot`; its clock is the simulation's.

    Args:
        plant: what it moves.
        config: gains of arm and hand.
    """

    real_time = False
    observation_features = measured(XHAND_LEFT)
    action_features = commanded(XHAND_LEFT)

    def __init__(self, plant: Plant, config: TwinConfig) -> None:
        self.plant = plant
        self.config = config
        self._waited_until = plant.time

    @staticmethod
    def _tips(model: Any) -> list[int]:
        return [model.site(HAND + finger.tip).id for finger in XHAND_LEFT.fingers]

    def check_task(self, task: str, shape: str | None) -> None:
        """See `Robot.check_task`."""
        plant = self.plant
        if task != plant.task or shape not in (None, plant.shape):
            raise ValueError(
                f"the robot is a twin with a {plant.shape} {plant.task}; give its own task and shape, got {task!r} and "
                f"{shape!r}"
            )

    def connect(self) -> None:
        """Let the hand's first readings arrive."""
        self._waited_until = self.plant.time

    def start_trial(self, seed: int) -> Vector:
        """See `Robot.start_trial`."""
        self.plant.reset(seed)
        self.connect()
        return self.plant.start_hand_q

    def sight(self) -> Sight:
        """See `Robot.sight`."""
        plant = self.plant
        grip, axis = plant.object.grip()
        return Sight(grip, axis, plant.data.site_xpos[self._tips(plant.model)])

    def render_state(self) -> tuple[Any, Any]:
        """See `Robot.render_state`; the next trial has others."""
        return self.plant.model, self.plant.data

    def read(self) -> Reading:
        """See `Robot.read`."""
        plant = self.plant
        mode = ArmMode.PROTECTIVE_STOP if plant.protective_stop else ArmMode.RUNNING
        arm = ArmState(
            plant.time, plant.arm_q.copy(), plant.arm_qd.copy(), plant.tcp_pose.copy(), plant.tcp_force.copy(), mode
        )
        hand = HandState(
            plant.hand_time, plant.hand_q.copy(), plant.hand_current.copy(), plant.tactile.copy(),
            plant.resultant.copy(), plant.tactile_time,
        )  # fmt: skip
        return Reading(plant.time, arm, hand, progress_of(plant))

    def command(self, hand: Vector, arm: Vector) -> None:
        """See `Robot.command`."""
        if self.plant.protective_stop:
            raise RobotError("the twin's arm is in a protective stop; call recover()")
        kp, ki, kd = self.config.gains
        self.plant.command_hand(hand, kp, ki, kd, self.config.torque_limit)
        self.plant.arm.servo(arm, lookahead=self.config.lookahead, gain=self.config.gain)

    def wait(self, seconds: float) -> float:
        """See `Robot.wait`: simulate until then."""
        plant = self.plant
        began = self._waited_until
        steps = round((began + seconds - plant.time) / plant.TIMESTEP)
        plant.step(max(steps, 0))
        self._waited_until = plant.time
        return plant.time - began

    def stop(self) -> None:
        """See `Robot.stop`."""
        self.plant.arm.stop()
        kp, ki, kd = self.config.gains
        self.plant.command_hand(self.plant.hand_q.copy(), kp, ki, kd, self.config.torque_limit)

    def recover(self) -> None:
        """See `Robot.recover`."""
        if self.plant.protective_stop:
            self.plant.unlock()

    def close(self) -> None:
        """See `Robot.close`."""
        self.stop()


def progress_of(plant: Plant) -> Progress:
    """Return how far a plant's task is."""
    return Progress(plant.turns, plant.turns_needed, plant.finished, plant.lost or "", plant.released)
