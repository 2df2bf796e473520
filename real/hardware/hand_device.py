"""The hand on its bus: the one thread that uses the vendor's SDK.

The SDK is not documented as thread-safe, a call takes 10 ms, and a failed one may return zeros or what was read before.
So one thread owns it, exchanges commands and state at the hand's 83 Hz, and publishes readings that keep the time at
which they were really new. Who commands must go on commanding: after half a second of silence the hand holds its
present joint positions. Needs no more than Python 3.10 and NumPy, as `real.hand_protocol`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from real.hand_protocol import FINGERS, HARDWARE_INDEX, JOINTS
from real.hardware.hand_sdk import describe, number_of, was_sent
from real.robot import TAXELS, RobotError, Vector

PERIOD = 0.012
"""Time of an exchange (s): the hand's own rate is 83 Hz."""
DEAD_MAN = 0.5
"""A command holds for this long (s)."""
LOST = 1.0
"""After this time without a reading (s) the device is closed and opened again."""
BAUD = 3_000_000
POSITION_MODE = 3
GAINS = (100, 0, 1, 100)
"""kp, ki, kd and current limit (mA) until a client sends others; the authors' values."""
Gains = tuple[int, int, int, int]
_CLOSE_TIMEOUT = 2.0
_HOLD_ATTEMPTS = 3
_OPEN_ATTEMPTS = 3  # A cold hand may need several.
_SENSOR_IDS = range(17, 17 + len(FINGERS))
_ZERO_ATTEMPTS = 5
_ZERO_SKIPPED, _ZERO_READINGS = 2, 8  # The first frames may be from before.
_ZERO_LIMIT = 3.0  # Mean counts that may remain.

# Numbers of errors with which joints, or taxels, are right all the same. Others take joints on a wrong CRC (70) too;
# but the state may then be an old one, so here it keeps its time.
_JOINTS_USABLE = {0, 18, 19, 20}
_TACTILE_USABLE = {0, 20}  # 18 says that neither forces nor taxels are right, 19 that the taxels are not.


@dataclass(frozen=True)
class DeviceReading:
    """The newest good readings; times are those of `time.monotonic`. Joints are in policy order."""

    number: int = 0
    """Counts readings of the joints."""
    time: float = -math.inf
    q: Vector = field(default_factory=lambda: np.zeros(len(JOINTS)))
    """(12,) joint positions (rad)."""
    current: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(JOINTS), np.int64))
    """(12,) motor currents (mA)."""
    tactile_number: int = 0
    """Counts tactile frames."""
    tactile_time: float = -math.inf
    tactile: NDArray[np.int16] = field(default_factory=lambda: np.zeros((len(FINGERS), TAXELS, 3), np.int16))
    """(5, 120, 3) counts of the taxels."""
    resultant: NDArray[np.int16] = field(default_factory=lambda: np.zeros((len(FINGERS), 3), np.int16))
    """(5, 3) counts of the forces."""
    errors: tuple[str, ...] = ()
    """Of the newest exchange."""


class HandDevice:
    """One hand, through the vendor's SDK.

    Args:
        sdk: the module `xhand_controller.xhand_control`.
        port: serial port, or network interface with `ethercat`.
        ethercat: the hand is on EtherCAT, not on RS485.
        tell: called before the hand is commanded with other gains than before, with kp, ki, kd and current limit (mA),
            and with None when it is commanded no longer.
    """

    def __init__(
        self,
        sdk: Any,
        port: str,
        *,
        ethercat: bool = False,
        tell: Callable[[Gains | None], None] = lambda gains: None,
    ) -> None:
        self.port = port
        self.name = ""
        """The hand's serial number and firmware, once it is open."""
        self.reading = DeviceReading()
        """The newest reading; replaced as a whole, so that any thread may look at it."""
        self._ethercat, self._tell = ethercat, tell
        self._control = sdk.XHandControl()
        self._command = sdk.HandCommand_t()
        self._hand_id = 0
        self._lock = threading.Lock()  # Guards the four fields that follow; nobody waits for anything while holding it.
        self._target: Vector | None = None
        self._gains: Gains = GAINS
        self._deadline: float | None = None
        self._zeroing: Future[None] | None = None
        self._bias = np.zeros((len(FINGERS), TAXELS + 1, 3))
        self._last_state: tuple[Any, ...] = ()
        self._last_good = 0.0
        self._told: Gains | None = None
        self._rests = True  # Whether the hand was not commanded, or holds.
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hand device", daemon=True)

    # -- for any thread -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the hand and begin to read it; nothing moves before the first command.

        Raises:
            RobotError: no left hand answers; the message says what to check.
        """
        for attempt in range(_OPEN_ATTEMPTS):
            try:
                self._open()
                break
            except RobotError:
                if attempt + 1 == _OPEN_ATTEMPTS:
                    raise
                time.sleep(0.2)
        self._last_good = time.monotonic()
        self._thread.start()

    def command(self, position: Vector, gains: Gains) -> None:
        """Set joint targets (12,), policy order (rad), and kp, ki, kd and current limit (mA)."""
        with self._lock:
            self._target, self._gains = position, gains
            self._deadline = time.monotonic() + DEAD_MAN

    def hold(self) -> None:
        """Hold the present joint positions from now on."""
        with self._lock:
            self._hold()

    def zero_tactile(self) -> Future[None]:
        """Zero the tactile sensors; the result says when it is done, or raises RobotError."""
        with self._lock:
            if self._zeroing is None:
                self._zeroing = Future()
            return self._zeroing

    def close(self) -> bool:
        """Hold the present joint positions, and close the hand; return whether that succeeded."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_TIMEOUT)
            if self._thread.is_alive():  # In a call that does not return; another one beside it might crash.
                return False
        self._control.close_device()
        return self._rests

    def hold_unstarted(self, gains: Gains) -> None:
        """Open a hand that nobody uses any more, and make it hold its present joint positions; instead of `start`.

        Raises:
            RobotError: it does not answer.
        """
        self._find()
        try:
            self._exchange()
            if self.reading.number == 0:
                raise RobotError(f"the hand gives no reading: {'; '.join(self.reading.errors)}")
            error = self._send(self.reading.q, gains)
            if not was_sent(error.error_code):
                raise RobotError(f"the hand does not hold: {describe(error.error_code, error.error_message)}")
        finally:
            self._control.close_device()

    # -- for the one thread -------------------------------------------------------------------------------------------

    def _open(self) -> None:
        control = self._control
        self._find()
        _, side = control.get_hand_type(self._hand_id)
        if not side.upper().startswith("L"):
            control.close_device()
            raise RobotError(f"the hand at {self.port} is of type {side!r}; the policies are for a left one, L")
        _, serial = control.get_serial_number(self._hand_id)
        self.name = f"XHand {serial}, SDK {control.get_sdk_version()}"

    def _find(self) -> None:
        control = self._control
        error = control.open_ethercat(self.port) if self._ethercat else control.open_serial(self.port, BAUD)
        if error.error_code != 0:
            hint = "cap_net_raw of python" if self._ethercat else "the group dialout"
            raise RobotError(
                f"cannot open the hand at {self.port}: {describe(error.error_code, error.error_message)}; check power, "
                f"cable, {hint}, and that no other program uses it"
            )
        ids = control.list_hands_id()
        if len(ids) != 1:
            control.close_device()
            raise RobotError(f"{len(ids)} hands answer at {self.port}, there must be one; check power and port")
        self._hand_id = ids[0]

    def _run(self) -> None:
        try:
            self._exchange_until_closed()
        finally:  # However it ends, by a fault of ours too, which `threading.excepthook` then tells the program.
            self._hold_for_good()

    def _exchange_until_closed(self) -> None:
        tick = time.monotonic()
        while not self._closing.is_set():
            try:
                if self._zeroing is not None:
                    self._zero_tactile()
                if time.monotonic() - self._last_good > LOST:
                    self._reopen()
                else:
                    self._exchange()
            except Exception as error:  # Whatever the SDK raises: the readings age, and clients see why.
                self._report(f"the SDK failed: {error!r}")
            tick = max(tick + PERIOD, time.monotonic())
            self._closing.wait(tick - time.monotonic())

    def _hold_for_good(self) -> None:
        """Make the hand hold its present joint positions if it was commanded; it does so from then on by itself."""
        with self._lock:
            if self._target is None:
                return
            self._hold()
            target, gains = self._target, self._gains
        self._rests = False
        for _ in range(_HOLD_ATTEMPTS):
            try:
                code = self._send(target, gains).error_code
            except Exception as error:
                self._report(f"the SDK failed: {error!r}")
                continue
            if was_sent(code):
                self._rests = True
                return

    def _hold(self) -> None:
        """Make the newest position the target, unless it is old; then the last target is the best that is known."""
        self._deadline = None
        if time.monotonic() - self.reading.time < DEAD_MAN:
            self._target = self.reading.q

    def _exchange(self) -> None:
        """Send the target, if there is one, and take the hand's state."""
        with self._lock:
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._hold()
            target, gains = self._target, self._gains
        if target is None:
            error, state = self._control.read_state(self._hand_id, True)
            errors = [error]
        else:
            sent = self._send(target, gains)
            error, state = self._control.read_state(self._hand_id, False)
            errors = [sent, error]
        failed = {e.error_code: describe(e.error_code, e.error_message) for e in errors if e.error_code != 0}
        self._take(state, {number_of(code) for code in failed}, tuple(failed.values()))

    def _send(self, target: Vector, gains: Gains) -> Any:
        if gains != self._told:
            self._told = gains
            self._tell(gains)
        for k, finger in enumerate(self._command.finger_command):
            finger.id, finger.mode = k, POSITION_MODE
            finger.kp, finger.ki, finger.kd, finger.tor_max = gains
        for k, position in zip(HARDWARE_INDEX.tolist(), target.tolist(), strict=True):
            self._command.finger_command[k].position = position
        return self._control.send_command(self._hand_id, self._command)

    def _report(self, *errors: str) -> None:
        self.reading = replace(self.reading, errors=errors)

    def _take(self, state: Any, codes: set[int], errors: tuple[str, ...]) -> None:
        """Publish those parts of a state that are right and new."""
        fingers, sensors = state.finger_state, state.sensor_data
        if not codes <= _JOINTS_USABLE:
            return self._report(*errors)
        position = np.array([finger.position for finger in fingers], dtype=np.float64)
        if position.shape != (len(JOINTS),) or not (np.abs(position) < np.pi).all():
            return self._report(*errors, f"impossible joint positions {position.tolist()}")
        if not position.any() and not any(finger.temperature for finger in fingers):
            return self._report(*errors, "a state of zeros, as the SDK gives before the first good one")
        counts = np.array(
            [[(f.fx, f.fy, f.fz) for f in (*sensor.raw_force, sensor.calc_force)] for sensor in sensors], dtype=np.int16
        )
        current = np.array([(finger.torque + 0x8000 & 0xFFFF) - 0x8000 for finger in fingers])
        # A live sensor's noise changes some of 1800 counts: a state that is equal in all of them is an old one.
        now, signature = time.monotonic(), (position.tobytes(), current.tobytes(), counts.tobytes())
        self._last_good = now
        if signature == self._last_state:
            age = now - self.reading.time
            return self._report(*errors, *([f"the hand has repeated one reading for {age:.1f} s"] if age > 0.1 else []))
        self._last_state = signature
        old = self.reading
        new = replace(
            old, number=old.number + 1, time=now, q=position[HARDWARE_INDEX], current=current[HARDWARE_INDEX],
            errors=errors,
        )  # fmt: skip
        if codes <= _TACTILE_USABLE:
            zeroed = np.clip(np.rint(counts - self._bias), [-128, -128, 0], [127, 127, 255]).astype(np.int16)
            new = replace(
                new, tactile_number=old.tactile_number + 1, tactile_time=now, tactile=zeroed[:, :TAXELS],
                resultant=zeroed[:, TAXELS],
            )  # fmt: skip
        self.reading = new

    def _reopen(self) -> None:
        """Open a hand again that does not answer; an old target is forgotten, so that nothing moves when it returns."""
        with self._lock:
            self._target = self._deadline = None
        if self._told is not None:
            self._told = None
            self._tell(None)
        self._control.close_device()
        try:
            self._open()
            self._last_good = time.monotonic()
        except RobotError as error:
            self._report(f"the hand does not answer any more: {error}")
            self._closing.wait(LOST)

    # -- zeroing ------------------------------------------------------------------------------------------------------

    def _zero_tactile(self) -> None:
        future = self._zeroing
        assert future is not None
        try:
            self._zero_until_it_holds()
            future.set_result(None)
        except Exception as error:
            future.set_exception(error if isinstance(error, RobotError) else RobotError(repr(error)))
        with self._lock:
            self._zeroing = None

    def _zero_until_it_holds(self) -> None:
        """Let the hand zero its sensors, take what is left as a bias, and see whether fresh readings are zero then."""
        rest = math.inf
        for _ in range(_ZERO_ATTEMPTS):
            self._bias[:] = 0.0
            for sensor in _SENSOR_IDS:
                error = self._control.reset_sensor(self._hand_id, sensor)
                if error.error_code != 0:
                    raise RobotError(f"zeroing fingertip {sensor}: {describe(error.error_code, error.error_message)}")
            self._bias[:] = self._mean_counts()
            rest = float(np.abs(self._mean_counts()).max())
            if rest <= _ZERO_LIMIT:
                return
        raise RobotError(
            f"after {_ZERO_ATTEMPTS} zeroings a tactile sensor still reads {rest:.0f} counts, at most "
            f"{_ZERO_LIMIT:.0f} may remain; take away what touches the fingertips"
        )

    def _mean_counts(self) -> NDArray[np.float64]:
        """Return the mean of the next tactile frames (5, 121, 3), resultants last (counts)."""
        frames: list[NDArray[np.int16]] = []
        end = time.monotonic() + 2.0
        while len(frames) < _ZERO_SKIPPED + _ZERO_READINGS:
            number = self.reading.tactile_number
            self._exchange()
            reading = self.reading
            if reading.tactile_number > number:
                frames.append(np.concatenate([reading.tactile, reading.resultant[:, None]], axis=1))
            if time.monotonic() > end:
                raise RobotError("no fresh tactile readings: " + ("; ".join(self.reading.errors) or "none came"))
            time.sleep(PERIOD)
        return np.mean(frames[_ZERO_SKIPPED:], axis=0)
