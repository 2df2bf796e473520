"""The safety layer: everything that moves the robot passes here, and nothing goes around it.

A command is first *limited*: cut to joint ranges, and slowed to velocity and acceleration limits. Then it is checked;
what must not happen at all *trips* the layer. A trip stops the robot, names the limit and the value, and stays latched
until `reset`. Commands and readings are checked at every control step, and on robots that run in real time a thread
checks the readings in between, and that commands keep coming.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from dexscrew_envs.files import to_json
from dexscrew_envs.hands import XHAND_LEFT
from dexscrew_envs.hands.xhand import FINGERS, JOINTS
from real.features import ARM_JOINTS
from real.kinematics import forward
from real.robot import ArmMode, HandState, Reading, Robot, RobotError, Vector

NEWTON_PER_COUNT = 0.1
"""Scale of the fingertips' resultants (N): that of the sensor's probable maker; unconfirmed for this hand."""
_WATCH_PERIOD = 0.02
_INSTANT = 1e-6  # (s)


@dataclass(frozen=True, kw_only=True)
class SafetyLimits:
    """What is allowed. Vectors of the hand are in policy order."""

    hand_lower: tuple[float, ...] = field(default_factory=lambda: XHAND_LEFT.joint_range[0])
    """Lower limits of the hand's joint targets (rad); by default those of the hand's model."""
    hand_upper: tuple[float, ...] = field(default_factory=lambda: XHAND_LEFT.joint_range[1])
    """Their upper limits (rad)."""
    hand_velocity: float = 2.0
    """Speed limit of a hand joint's target (rad/s). A skill moves targets at up to 1 rad/s."""
    hand_acceleration: float = 60.0
    """Acceleration limit of a hand joint's target (rad/s^2): from rest to full speed in one control step."""
    arm_lower: tuple[float, ...] = (-2 * np.pi, -2 * np.pi, -np.pi, -2 * np.pi, -2 * np.pi, -2 * np.pi)
    """Lower limits of the arm's joint targets (rad): the UR5e's, the elbow's such that it does not meet the arm."""
    arm_upper: tuple[float, ...] = (2 * np.pi, 2 * np.pi, np.pi, 2 * np.pi, 2 * np.pi, 2 * np.pi)
    """Their upper limits (rad)."""
    arm_velocity: float = 0.5
    """Speed limit of an arm joint's target (rad/s), as the authors' teleoperation."""
    arm_acceleration: float = 2.0
    """Acceleration limit of an arm joint's target (rad/s^2)."""
    workspace: tuple[tuple[float, float], ...] = ((-0.85, 0.85), (-0.85, 0.85), (0.05, 1.0))
    """Where the flange may be sent: ranges of x, y and z in the arm's base frame (m). Narrow it to your table."""
    wrist_force: float = 50.0
    """Largest force at the wrist (N): the range of the UR5e's sensor."""
    wrist_torque: float = 8.0
    """Largest torque at the wrist (N m); the sensor's range is 10."""
    fingertip_force: float = 15.0
    """Largest lasting force on a fingertip (N), by its resultant; a finger is rated at 12 N."""
    fingertip_peak: float = 25.0
    """Largest force on a fingertip at any time (N); the sensor tells no pressure above 25.5 N, 255 counts."""
    fingertip_peak_time: float = 0.25
    """Time for which the force on a fingertip may be above the lasting one (s)."""
    max_age: float = 0.1
    """Oldest reading that may be acted on (s)."""
    dead_man: float = 0.25
    """Longest time without a command before the robot is stopped (s)."""

    def __post_init__(self) -> None:
        hand, arm = (len(JOINTS),), (ARM_JOINTS,)
        shapes = {"hand_lower": hand, "hand_upper": hand, "arm_lower": arm, "arm_upper": arm, "workspace": (3, 2)}
        for name, shape in shapes.items():
            if not _are_numbers(value := getattr(self, name), shape):
                entries = "numbers" if len(shape) == 1 else "pairs of numbers"
                raise ValueError(f"{name} must have {shape[0]} entries, all {entries}, got {value!r}")
        for part in ("hand", "arm"):
            lower, upper = np.array(getattr(self, f"{part}_lower")), np.array(getattr(self, f"{part}_upper"))
            if not (lower < upper).all():
                raise ValueError(f"every {part}_lower must be below its {part}_upper, got {lower} and {upper}")
        if not all(low < high for low, high in self.workspace):
            raise ValueError(f"every range of workspace must be (low, high), got {self.workspace}")
        for name in ("hand_velocity", "hand_acceleration", "arm_velocity", "arm_acceleration", "wrist_force",
                     "wrist_torque", "fingertip_force", "fingertip_peak", "fingertip_peak_time", "max_age",
                     "dead_man"):  # fmt: skip
            value = getattr(self, name)
            if not _are_numbers(value, ()) or not 0 < value < np.inf:
                raise ValueError(f"{name} must be positive and finite, got {value!r}")
        if self.fingertip_peak < self.fingertip_force:
            force, peak = self.fingertip_force, self.fingertip_peak
            raise ValueError(f"fingertip_peak must be at least fingertip_force ({force:g} N), got {peak:g}")

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that tell these limits from others: trials under others do not compare."""
        return hashlib.sha256(to_json(asdict(self)).encode()).hexdigest()[:8]


def _are_numbers(value: object, shape: tuple[int, ...]) -> bool:
    """Return whether a value has a shape and nothing but numbers in it."""
    try:
        array = np.asarray(value)
    except ValueError:  # its parts have different lengths
        return False
    return array.shape == shape and array.dtype.kind in "iuf" and not np.isnan(array).any()


def _plausible(q: ArrayLike) -> bool:
    """Return whether joint positions (rad) can be such: no joint of arm or hand goes further than a turn."""
    return bool((np.abs(q) <= 2 * np.pi + 0.1).all())


@dataclass(frozen=True)
class Trip:
    """Why the robot was stopped."""

    limit: str
    """Name of the limit, as in `SafetyLimits`, or of the event."""
    message: str
    """What happened, with the value and the limit."""
    time: float
    """When, in the robot's clock (s)."""


class SafetyTrip(RobotError):
    """The safety layer stopped the robot; it stays stopped until `SafetyLayer.reset`."""

    def __init__(self, trip: Trip) -> None:
        super().__init__(f"{trip.message}; the robot is stopped until the safety layer is reset")
        self.trip = trip


def limit_motion(
    goal: Vector, position: Vector, velocity: Vector, lower: Vector, upper: Vector, speed: float, acceleration: float,
    dt: float,
) -> tuple[Vector, Vector]:  # fmt: skip
    """Move targets towards a goal as fast as the limits allow, such that they can always stop at it.

    Args:
        goal: (J,) wanted targets (rad).
        position: (J,) present targets (rad).
        velocity: (J,) their velocities in the last step (rad/s).
        lower: (J,) lower limits of targets.
        upper: (J,) upper limits.
        speed: largest speed (rad/s).
        acceleration: largest acceleration (rad/s^2).
        dt: duration of the step (s).

    Returns:
        New targets (J,) and velocities (J,). Goals reachable in one step are returned unchanged.
    """
    distance = np.clip(goal, lower, upper) - position
    gap = np.abs(distance)
    # After a step at speed v it must be possible to brake within what is left: v dt + v^2 / 2a <= gap. A step that
    # ends at the goal may be as fast as can be braked in one more step.
    braking = acceleration * (np.sqrt(dt**2 + 2 * gap / acceleration) - dt)
    fastest = np.minimum(speed, np.maximum(braking, np.minimum(gap / dt, acceleration * dt)))
    wanted = np.sign(distance) * np.minimum(fastest, gap / dt)
    new_velocity = np.clip(wanted, velocity - acceleration * dt, velocity + acceleration * dt)
    new_position = np.clip(position + new_velocity * dt, np.minimum(lower, position), np.maximum(upper, position))
    arrived = np.isclose(new_velocity * dt, distance, rtol=0, atol=1e-12)
    return np.where(arrived, np.clip(goal, lower, upper), new_position), (new_position - position) / dt


def fingertip_forces(hand: HandState) -> Vector:
    """Return the force on each fingertip (5,) (N) as the safety layer checks it: the norm of its resultant."""
    return NEWTON_PER_COUNT * np.linalg.norm(hand.resultant.astype(float), axis=1)


@dataclass
class SafetyLayer:
    """Stands between every policy and a robot.

    Args:
        robot: what it guards; already connected.
        limits: what is allowed.
        period: control period (s).
        real_time: whether to watch the robot from a thread between commands.
    """

    robot: Robot
    limits: SafetyLimits
    period: float
    real_time: bool
    trip: Trip | None = field(default=None, init=False)
    """The latched trip, or None."""

    def __post_init__(self) -> None:
        if not 0 < self.period < 1:
            raise ValueError(f"period must be between 0 and 1 s, got {self.period}")
        limits = self.limits
        self._hand = np.array(limits.hand_lower, float), np.array(limits.hand_upper, float)
        self._arm = np.array(limits.arm_lower, float), np.array(limits.arm_upper, float)
        self._lock = threading.RLock()  # held for no longer than a robot's `command` takes
        self._armed_at: float | None = None
        self._quit = threading.Event()
        self._thread: threading.Thread | None = None
        self._pressed_since: float | None = None  # of the fingertips' readings
        self._begun = False  # whether `reset` was called
        self._moved_at: float | None = None  # when the targets last moved
        self._hand_velocity, self._arm_velocity = np.zeros(len(JOINTS)), np.zeros(6)
        self.hand_target: Vector = np.zeros(len(JOINTS))
        """(12,) the hand's joint targets that were sent last (rad)."""
        self.arm_target: Vector = np.zeros(6)
        """(6,) the arm's (rad)."""

    def reset(self, hand_target: Vector | None = None) -> Reading:
        """Release a latched trip and begin from where the robot stands.

        Args:
            hand_target: (12,) joint targets (rad) that the hand has already; None takes its joint positions.

        Returns:
            The reading that it begins from.

        Raises:
            SafetyTrip: a limit is still violated; the trip stays latched.
            ValueError: `hand_target` cannot be joint targets of the hand.
        """
        if hand_target is not None and not (_are_numbers(hand_target, (len(JOINTS),)) and _plausible(hand_target)):
            raise ValueError(
                f"hand_target must be {len(JOINTS)} joint targets within a turn (rad), got "
                f"{np.asarray(hand_target, object).tolist()}"
            )
        with self._lock:
            reading = self.robot.read()
            self.trip = None
            self._pressed_since = None
            self._armed_at = None
            self.check(reading)
            self._moved_at = None
            self.hand_target = np.array(reading.hand.q if hand_target is None else hand_target, float)
            self.arm_target = reading.arm.q.copy()
            self._hand_velocity, self._arm_velocity = np.zeros(len(JOINTS)), np.zeros(6)
            self._begun = True
        if self.real_time and self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="safety", daemon=True)
            self._thread.start()
        return reading

    def check(self, reading: Reading) -> None:
        """Trip if a reading violates a limit.

        Raises:
            SafetyTrip: it does, or a trip is latched.
        """
        with self._lock:
            self._raise_latched()
            found = self._violation(reading)
            if found is not None:
                self._stop(*found, reading.time)

    def command(self, hand: Vector, arm: Vector) -> tuple[Vector, Vector]:
        """Send joint targets, limited; return those that were really sent.

        They move by what the limits allow in the time since the last command, and in a control period at most.

        Args:
            hand: (12,) wanted targets of the hand, policy order (rad).
            arm: (6,) wanted targets of the arm (rad).

        Raises:
            SafetyTrip: a command or the newest reading violates a limit, or a trip is latched.
            RuntimeError: `reset` was never called.
        """
        hand, arm = np.asarray(hand, float), np.asarray(arm, float)
        with self._lock:
            self._raise_latched()
            if not self._begun:
                raise RuntimeError("call reset() before command()")
            reading = self.robot.read()
            self.check(reading)
            for name, target, size in (("hand", hand, len(JOINTS)), ("arm", arm, 6)):
                if target.shape != (size,):
                    self._stop("shape", f"{name} targets have shape {target.shape}, expected ({size},)", reading.time)
                if not np.isfinite(target).all():
                    self._stop("finite", f"{name} targets are not finite: {target.tolist()}", reading.time)
            self._check_dead_man(reading.time)
            limits, dt = self.limits, self._time_to_move(reading.time)
            if dt > _INSTANT:
                hand, hand_velocity = limit_motion(
                    hand, self.hand_target, self._hand_velocity, *self._hand, limits.hand_velocity,
                    limits.hand_acceleration, dt,
                )  # fmt: skip
                arm, arm_velocity = limit_motion(
                    arm, self.arm_target, self._arm_velocity, *self._arm, limits.arm_velocity, limits.arm_acceleration,
                    dt,
                )  # fmt: skip
            else:  # no time has passed
                hand, hand_velocity = self.hand_target, self._hand_velocity
                arm, arm_velocity = self.arm_target, self._arm_velocity
            self._check_workspace(arm, reading.time)
            try:
                self.robot.command(hand, arm)
            except Exception as error:  # a driver may raise anything
                self._stop("command", f"the robot did not take a command: {_words(error)}", reading.time)
            self.hand_target, self._hand_velocity = hand, hand_velocity
            self.arm_target, self._arm_velocity = arm, arm_velocity
            self._armed_at = reading.time
            if dt > _INSTANT:
                self._moved_at = reading.time
            return hand, arm

    def release(self) -> None:
        """Stop the robot without a trip: commands may pause from now on, and `reset` starts again."""
        with self._lock:
            self._armed_at = None
            self.robot.stop()

    def close(self) -> None:
        """Stop the robot and end the watching thread."""
        self._quit.set()
        try:
            self.release()
        finally:
            if self._thread is not None:
                self._thread.join(timeout=1.0)
                self._thread = None

    def _time_to_move(self, now: float) -> float:
        """Return the time that the targets may move for now (s); rounding of a simulated clock takes none of it."""
        elapsed = self.period if self._moved_at is None else now - self._moved_at
        return self.period if elapsed > self.period - _INSTANT else elapsed

    # -- the checks ---------------------------------------------------------------------------------------------------

    def _violation(self, reading: Reading) -> tuple[str, str] | None:
        """Return the name of the limit that a reading violates, and what happened, or None."""
        limits, arm, hand = self.limits, reading.arm, reading.hand
        if arm.mode is not ArmMode.RUNNING:
            return "arm mode", f"the arm's controller reports: {arm.mode.value}"
        ages = {"arm": arm.time, "hand": hand.time, "tactile": hand.tactile_time}
        for name, time in ages.items():
            age = reading.time - time
            if not abs(age) <= limits.max_age:
                old = f"{1000 * age:.0f} ms old" if not age < 0 else f"from {-1000 * age:.0f} ms ahead"
                return "max_age", f"the newest {name} reading is {old}, limit {1000 * limits.max_age:.0f} ms"
        for name, values, size in (
            ("arm", arm.q, ARM_JOINTS), ("arm", arm.qd, ARM_JOINTS), ("wrist", arm.tcp_force, 6),
            ("hand", hand.q, len(JOINTS)), ("fingertips", hand.resultant.ravel(), 3 * len(FINGERS)),
        ):  # fmt: skip
            if values.shape != (size,):
                return "shape", f"a reading of the {name} has {values.size} numbers, expected {size}"
            if not np.isfinite(values).all():
                return "finite", f"a reading of the {name} is not finite: {values.tolist()}"
        for name, q in (("arm", arm.q), ("hand", hand.q)):
            if not _plausible(q):
                return "plausible", f"a joint of the {name} cannot be where it reads, limit a turn: {q.tolist()} rad"
        force, torque = np.linalg.norm(arm.tcp_force[:3]), np.linalg.norm(arm.tcp_force[3:])
        if force > limits.wrist_force:
            return "wrist_force", f"the force at the wrist is {force:.1f} N, limit {limits.wrist_force:g} N"
        if torque > limits.wrist_torque:
            return "wrist_torque", f"the torque at the wrist is {torque:.2f} N m, limit {limits.wrist_torque:g} N m"
        return self._pressing(hand)

    def _pressing(self, hand: HandState) -> tuple[str, str] | None:
        """Return `fingertip_force` or `fingertip_peak` and what happened, if a fingertip presses too hard, or None."""
        limits, tips = self.limits, fingertip_forces(hand)
        worst = int(tips.argmax())
        if tips[worst] <= limits.fingertip_force:
            self._pressed_since = None
            return None
        if self._pressed_since is None:
            self._pressed_since = hand.tactile_time
        words = f"the force on the {FINGERS[worst]} fingertip is {tips[worst]:.1f} N"
        if tips[worst] > limits.fingertip_peak:
            return "fingertip_peak", f"{words}, limit {limits.fingertip_peak:g} N"
        lasted = hand.tactile_time - self._pressed_since
        if lasted >= limits.fingertip_peak_time - 1e-9:
            return (
                "fingertip_force",
                f"{words}, limit {limits.fingertip_force:g} N for more than {limits.fingertip_peak_time:g} s",
            )
        return None

    def _check_workspace(self, arm: Vector, time: float) -> None:
        position = forward(arm)[:3]
        for axis, value, (low, high) in zip("xyz", position, self.limits.workspace, strict=True):
            if not low <= value <= high:
                self._stop(
                    "workspace", f"the wrist would go to {axis} = {value:.3f} m, limits {low:g} to {high:g} m", time
                )

    def _check_dead_man(self, now: float) -> None:
        if self._armed_at is not None and now - self._armed_at > self.limits.dead_man:
            silence = 1000 * (now - self._armed_at)
            self._stop(
                "dead_man", f"no command came for {silence:.0f} ms, limit {1000 * self.limits.dead_man:.0f} ms", now
            )

    def _raise_latched(self) -> None:
        if self.trip is not None:
            raise SafetyTrip(self.trip)

    def _stop(self, limit: str, message: str, time: float) -> None:
        """Latch a trip, stop the robot, raise SafetyTrip."""
        self.trip = Trip(limit, message, time)
        self._armed_at = None
        try:
            self.robot.stop()
        except Exception as error:  # the drivers' dead men remain; the trip must be told in any case
            self.trip = Trip(limit, f"{message}; stopping it failed, too: {_words(error)}", time)
        raise SafetyTrip(self.trip)

    def _watch(self) -> None:
        """Check between commands, while a policy commands."""
        while not self._quit.wait(_WATCH_PERIOD):
            with self._lock:
                if self.trip is not None or self._armed_at is None:
                    continue
                now = self._armed_at
                try:
                    reading = self.robot.read()
                    now = reading.time
                    self.check(reading)
                    self._check_dead_man(now)
                except SafetyTrip:
                    continue  # latched: the next command raises it
                except Exception as error:  # nothing may end this thread while a policy commands
                    with contextlib.suppress(SafetyTrip):
                        self._stop("watch", f"watching the robot failed: {_words(error)}", now)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, RobotError) else repr(error)
