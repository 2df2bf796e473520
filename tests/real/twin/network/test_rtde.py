from __future__ import annotations

import struct

import pytest

from real.twin.network.rtde import CONTROLLER_VERSION, DATA, HEADER, INPUTS, OUTPUTS, PAUSE, START, VERSION, Session


class Registers:
    """A controller that is a table."""

    version = (5, 13, 2)

    def __init__(self):
        self.outputs = {"timestamp": 1.5, "actual_q": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "runtime_state": 2}
        self.inputs = {}

    def read(self, name):
        return self.outputs.get(name)

    def write(self, values):
        self.inputs.update(values)


@pytest.fixture
def controller():
    return Registers()


@pytest.fixture
def owners():
    return {}


@pytest.fixture
def session(controller, owners):
    return Session(controller, owners)


def payload(kind, packet):
    """Return the payload of a packet, after checking its header."""
    assert HEADER.unpack(packet[: HEADER.size]) == (len(packet), kind)
    return packet[HEADER.size :]


def ask(session, kind, data=b""):
    return payload(kind, session.handle(kind, data))


def ask_outputs(session, names, frequency=500.0):
    return ask(session, OUTPUTS, struct.pack(">d", frequency) + names)


def test_it_speaks_version_2_only(session):
    assert ask(session, VERSION, b"\x00\x02") == b"\x01"
    assert ask(session, VERSION, b"\x00\x01") == b"\x00"


def test_it_reports_the_controllers_version(session):
    assert ask(session, CONTROLLER_VERSION) == struct.pack(">4I", 5, 13, 2, 0)


def test_outputs_are_streamed_after_start_until_pause(session):
    assert ask_outputs(session, b"timestamp,actual_q,runtime_state,") == b"\x01DOUBLE,VECTOR6D,UINT32"
    assert session.stream(0) is None
    assert ask(session, START) == b"\x01"
    assert payload(DATA, session.stream(0)) == b"\x01" + struct.pack(">7dI", 1.5, 1, 2, 3, 4, 5, 6, 2)
    assert ask(session, PAUSE) == b"\x01"
    assert session.stream(1) is None


def test_what_is_not_modelled_reads_as_zeros(session):
    ask_outputs(session, b"actual_tool_accelerometer,joint_mode,actual_digital_input_bits,output_int_register_47,")
    ask(session, START)
    assert payload(DATA, session.stream(0)) == b"\x01" + bytes(24 + 24 + 8 + 4)


@pytest.mark.parametrize(("frequency", "period"), [(500, 1), (125, 4), (20, 25)])
def test_the_rate_is_the_one_asked_for(session, frequency, period):
    ask_outputs(session, b"timestamp,", frequency)
    ask(session, START)
    assert [session.stream(tick) is not None for tick in range(100)] == [tick % period == 0 for tick in range(100)]


@pytest.mark.parametrize("frequency", [0.0, -1.0, 1e9, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(session, frequency):
    assert ask_outputs(session, b"timestamp,", frequency)[:1] == b"\x00"
    assert ask(session, START) == b"\x00"


def test_an_unknown_output_is_named(session):
    assert ask_outputs(session, b"timestamp,nonsense,") == b"\x00DOUBLE,NOT_FOUND"
    assert ask(session, START) == b"\x00"


def test_inputs_are_written_by_recipes_that_count_from_one(session, controller):
    assert ask(session, INPUTS, b"input_int_register_0,") == b"\x01INT32"
    assert ask(session, INPUTS, b"input_int_register_0,input_double_register_3,") == b"\x02INT32,DOUBLE"
    assert session.handle(DATA, b"\x02" + struct.pack(">id", 11, 0.5)) is None  # before START, too
    assert controller.inputs == {"input_int_register_0": 11, "input_double_register_3": 0.5}
    session.handle(DATA, b"\x01" + struct.pack(">i", -7))
    assert controller.inputs["input_int_register_0"] == -7


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x01", b"\x01\x00\x00\x00", b"\x01" + bytes(5), b"\x02" + bytes(4), b"\xff" + bytes(4)]
)
def test_a_data_packet_that_fits_no_recipe_does_nothing(session, controller, data):
    ask(session, INPUTS, b"input_int_register_0,")
    assert session.handle(DATA, data) is None
    assert controller.inputs == {}


def test_an_input_belongs_to_one_client_until_it_leaves(session, controller, owners):
    other = Session(controller, owners)
    ask(session, INPUTS, b"input_int_register_0,input_int_register_1,")
    assert ask(other, INPUTS, b"input_int_register_1,input_int_register_2,") == b"\x00IN_USE,INT32"
    other.handle(DATA, b"\x01" + struct.pack(">2i", 1, 2))
    assert controller.inputs == {}
    assert ask(other, INPUTS, b"input_int_register_2,") == b"\x01INT32"
    session.close()
    assert ask(other, INPUTS, b"input_int_register_1,input_int_register_2,") == b"\x02INT32,INT32"


def test_an_unknown_input_is_named(session, owners):
    assert ask(session, INPUTS, b"input_int_register_0,nonsense,") == b"\x00INT32,NOT_FOUND"
    assert owners == {}


@pytest.mark.parametrize(
    ("kind", "data"), [(OUTPUTS, b""), (OUTPUTS, bytes(8)), (INPUTS, b""), (0, b"x"), (255, b""), (ord("M"), b"hello")]
)
def test_other_packets_are_ignored(session, kind, data):
    assert session.handle(kind, data) is None


def test_names_that_are_no_text_are_not_found(session):
    assert ask(session, INPUTS, b"\xff\xfe,\x00") == b"\x00NOT_FOUND,NOT_FOUND"
