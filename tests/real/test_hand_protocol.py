import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import real
from dexscrew_envs.hands import xhand
from dexscrew_envs.tasks import NUT, SCREWDRIVER
from real import hand_protocol as protocol
from real.robot import TAXELS, RobotError

KEY = b"k" * 16
REAL = Path(real.__file__).parent
STANDALONE = [
    "robot.py", "hand_protocol.py", "hand_server.py", "hardware/hand_device.py", "hardware/hand_guard.py",
    "hardware/hand_sdk.py", "hardware/hand_server.py", "twin/network/hand_frames.py",
    "twin/network/sdk/xhand_controller/xhand_control.py",
]  # fmt: skip


def command(**changes):
    fields = dict(session=KEY, sequence=1, position=[0.1] * 12, kp=100, ki=0, kd=1, tor_max=100) | changes
    return protocol.Command(**fields)


def test_joints_and_fingers_are_those_of_the_tasks():
    assert protocol.JOINTS == xhand.JOINTS
    assert protocol.FINGERS == xhand.FINGERS
    hardware = ["thumb_bend", "thumb_1", "thumb_2", "index_bend", "index_1", "index_2", "mid_1", "mid_2", "ring_1",
                "ring_2", "pinky_1", "pinky_2"]  # fmt: skip
    assert [hardware[k] for k in protocol.HARDWARE_INDEX] == list(xhand.JOINTS)


@pytest.mark.parametrize("message", [
    protocol.Hello(1, "test"), protocol.Read(KEY, 2), command(), protocol.Hold(KEY, 3), protocol.Zero(KEY, 4),
    protocol.Bye(KEY, 5),
])  # fmt: skip
def test_requests_survive_the_wire(message):
    frame = protocol.encode(message)
    assert len(frame) < protocol.MAX_REQUEST
    assert protocol.decode_request(frame) == message
    with pytest.raises(ValueError, match="not a message"):
        protocol.decode_reply(frame)


def test_a_state_survives_the_wire():
    rng = np.random.default_rng(0)
    counts = rng.integers([-128, -128, 0], [128, 128, 256], (5, TAXELS, 3)).astype(np.int16)
    resultant = rng.integers([-128, -128, 0], [128, 128, 256], (5, 3)).astype(np.int16)
    state = protocol.State(
        7,
        3,
        0.01,
        [0.5] * 12,
        [-100] * 12,
        2,
        0.02,
        protocol.pack_counts(counts),
        protocol.pack_counts(resultant),
        ["x"],
    )
    frame = protocol.encode(state)
    assert len(frame) < protocol.MAX_REPLY
    back = protocol.decode_reply(frame)
    assert back == state
    np.testing.assert_array_equal(protocol.unpack_counts(back.tactile).reshape(5, TAXELS, 3), counts)
    np.testing.assert_array_equal(protocol.unpack_counts(back.resultant), resultant)


@pytest.mark.parametrize("changes", [
    dict(session=b"short"), dict(sequence=0), dict(sequence=-1), dict(position=[0.1] * 11), dict(position=["0"] * 12),
    dict(kp=401), dict(kd=-1), dict(tor_max=1.5), dict(kp="100"),
])  # fmt: skip
def test_fields_out_of_bounds_are_refused(changes):
    with pytest.raises(ValueError, match="not a message of the hand's protocol, version 1: "):
        protocol.decode_request(protocol.encode(command(**changes)))


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x91" * 100_000, b"\x81" * 100_000, b"\x80", b"\xff" * 64])
def test_what_is_no_message_is_refused(frame):
    with pytest.raises(ValueError, match="not a message"):
        protocol.decode_request(frame)


def test_unknown_fields_are_refused():
    frame = protocol.encode({"type": "Hold", "session": KEY, "sequence": 1, "mode": 0})
    with pytest.raises(ValueError, match="unknown field"):
        protocol.decode_request(frame)


def test_random_bytes_never_raise_anything_else():
    rng = np.random.default_rng(0)
    good = protocol.encode(command())
    for k in range(10_000):
        frame = bytearray(good) if k % 2 else bytearray(rng.bytes(int(rng.integers(0, 200))))
        for _ in range(int(rng.integers(1, 4))):
            if frame:
                frame[int(rng.integers(len(frame)))] = int(rng.integers(256))
        try:
            message = protocol.decode_request(bytes(frame))
        except ValueError:
            continue
        assert isinstance(
            message,
            protocol.Hello | protocol.Read | protocol.Command | protocol.Hold | protocol.Zero | protocol.Bye,
        )


def test_targets_are_checked():
    protocol.check_target(np.clip(np.zeros(12), protocol.LOWER, protocol.UPPER))
    with pytest.raises(ValueError, match="finite"):
        protocol.check_target(np.full(12, np.nan))
    with pytest.raises(ValueError, match=r"target 2.000 rad of index_1 is outside its range 0 to 1.92"):
        protocol.check_target(np.array([0, 2.0, *[0.0] * 10]))


@pytest.mark.parametrize("task", [NUT, SCREWDRIVER])
def test_the_range_of_targets_contains_the_start_poses(task):
    protocol.check_target(np.array(task.start_pose))


@pytest.mark.parametrize(("host", "expected"), [
    ("127.0.0.1", True), ("127.9.8.7", True), ("localhost", True), ("0.0.0.0", False), ("192.168.1.5", False),
    ("*", False), ("eth0", False), ("128.0.0.1", False), ("127.0.0.1.example.com", False),
])  # fmt: skip
def test_loopback_is_127(host, expected):
    assert protocol.is_loopback(host) is expected


@pytest.mark.parametrize("address", ["127.0.0.1:5557", "tcp://127.0.0.1", "ipc://x", "tcp://h:99999", "tcp://h:0", ""])
def test_addresses_are_checked(address):
    with pytest.raises(RobotError, match=r"write it as tcp://127.0.0.1:5557"):
        protocol.parse_address(address)


@pytest.mark.parametrize("name", STANDALONE)
def test_the_hand_server_is_written_for_python_3_10(name):
    tree = ast.parse((REAL / name).read_text(), feature_version=(3, 10))
    modules = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)]
    names = {alias.name for node in modules for alias in node.names}
    later = {"Self", "Never", "LiteralString", "assert_never", "Required", "NotRequired", "Unpack", "override", "UTC",
             "StrEnum", "tomllib", "chdir", "reveal_type"}  # fmt: skip
    assert not names & later


def test_the_hand_server_needs_few_libraries():
    """It runs in the vendor's environment: no PyTorch, MuJoCo or Gymnasium, and of the environments nothing."""
    program = """
import sys
for name in ("torch", "mujoco", "gymnasium", "filelock", "tyro", "rich", "dexscrew_envs.tasks"):
    sys.modules[name] = None
import real.hardware.hand_server
real.hardware.hand_server.load_sdk(twin=True)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REAL.parent)
