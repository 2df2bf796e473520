from __future__ import annotations

from pathlib import Path

import pytest
from hand_fakes import served_hand

from real.hardware.xhand import XHand

IN_SIMULATED_TIME = {
    "test_autonomous", "test_robot_policies",
    "test_kinematics", "test_real_env", "test_real_env_arguments",
    "test_real_env_surroundings", "test_view", "test_wrist", "test_controller",
    "test_dashboard", "test_hand", "test_nut", "test_parameters", "test_twin_pictures", "test_plant", "test_recess",
    "test_rtde", "test_screwdriver", "test_script", "test_taxels", "test_twin_scene", "test_teleop_wrist",
    "test_keyboard_operator", "test_teleop_episode", "test_teleop_command", "test_orders", "test_certificate",
    "test_page_access", "test_page_controls", "test_page_files", "test_page_inputs", "test_page_recording",
    "test_operators_of_programs", "test_relabel", "test_grip", "test_collecting",
}  # fmt: skip
"""Modules of this folder that may run beside others; what is not here needs the processor to itself."""
ON_THE_NETWORK = {
    "test_arm_process", "test_hand_guard", "test_hand_server", "test_hand_server_ends", "test_hardware",
    "test_many_files", "test_program_ends", "test_ur5e", "test_xhand", "test_addresses", "test_hand_port", "test_main",
    "test_sdk", "test_served", "test_server", "test_page_server", "test_page_browser", "test_teleop_web",
}  # fmt: skip
"""Modules of this folder that open ports."""


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            if item.path.stem not in IN_SIMULATED_TIME:
                item.add_marker(pytest.mark.real_time)
            if item.path.stem in ON_THE_NETWORK:
                item.add_marker(pytest.mark.network)


@pytest.fixture
def rig():
    """A fake hand behind the twin's port, served to clients."""
    with served_hand() as rig:
        yield rig


@pytest.fixture
def hand(rig):
    """A client of it."""
    hand = XHand(rig.address)
    hand.connect()
    yield hand
    hand.close()
