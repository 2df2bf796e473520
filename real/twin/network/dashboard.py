"""The dashboard of UR's controllers: one line asks, one line answers. Source: UR's manual "Dashboard Server"."""

from __future__ import annotations

from real.twin.network.control_box import ControlBox, RobotMode

BANNER = "Connected: Universal Robots Dashboard Server"
"""What a client is greeted with."""
SERIAL_NUMBER = "20225500000"

_FIXED = {
    "get robot model": "UR5",
    "get serial number": SERIAL_NUMBER,
    "get loaded program": "No program loaded",
    "isProgramSaved": "true",
    "play": "Failed to execute: play",
    "pause": "Failed to execute: pause",
    "close popup": "closing popup",
    "close safety popup": "closing safety popup",
    "restart safety": "Restarting safety",
    "quit": "Disconnected",
}


def reply(box: ControlBox, line: str) -> str:
    """Return the answer to a line, after what it asks for is done."""
    match line.strip():
        case "PolyscopeVersion":
            return "URSoftware {}.{}.{}.0 (Jan 01 2024)".format(*box.version)
        case "is in remote control":
            return str(box.remote_control).lower()
        case "robotmode":
            return f"Robotmode: {box.robot_mode.name}"
        case "safetystatus" | "safetymode" as what:
            return f"{what.capitalize()}: {box.safety_mode.name}"
        case "running":
            return f"Program running: {str(box.program is not None).lower()}"
        case "programState":
            return "PLAYING rtde_control" if box.program else "STOPPED"
        case "stop":
            box.stop_program("the dashboard")
            return "Stopped"
        case "unlock protective stop":
            return "Protective stop releasing" if (refusal := box.unlock()) is None else refusal
        case "power on":
            return "Powering on" if box.set_robot_mode(RobotMode.IDLE) else "Failed to power on"
        case "brake release":
            return "Brake releasing" if box.set_robot_mode(RobotMode.RUNNING) else "Failed to release brakes"
        case "power off":
            box.set_robot_mode(RobotMode.POWER_OFF)
            return "Powering off"
        case known if known in _FIXED:
            return _FIXED[known]
        case other:
            return f"could not understand: {other[:80]!a}"
