"""The vendor's SDK of the hand: how it is found, and what its error codes mean."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from real.robot import SetupError

_TWIN_SDK = Path(__file__).parents[1] / "twin" / "network" / "sdk"
_BASE = 1501000
_ERRORS = {
    1: "wrong id", 2: "unknown command", 3: "communication", 4: "wrong length of data", 5: "no parameters in flash",
    6: "busy", **dict.fromkeys([*range(7, 14), 15, 16, 17], "firmware update"),
    18: "cannot read the force on a fingertip", 19: "cannot read the taxels", 20: "cannot read the temperature",
    21: "calibration", 22: "sensor command", 23: "sensor flash", 24: "sensor communication",
    26: "joint parameters at start", 28: "over-temperature: let the hand cool", 29: "motion mode",
    30: "parameter out of range", 31: "joint flash", 32: "joint communication", 33: "joint command",
    34: "raw joint position", 35: "over-current for more than 0.5 s: free the fingers", 36: "the hand starts again",
    37: "wrong device id", 38: "not initialised", 39: "cannot be opened", 40: "EtherCAT process data",
    41: "EtherCAT service data", **dict.fromkeys(range(42, 46), "firmware upgrade"),
    **dict.fromkeys([*range(46, 50), *range(52, 59)], "calibration"), 50: "serial communication",
    51: "firmware too old", 70: "CRC of an answer",
}  # fmt: skip
"""What the SDK's error codes mean, from its header; all begin with 1501."""
_SENT = {18, 19, 20, 35}


def load_sdk(twin: bool) -> Any:
    """Return the module `xhand_controller.xhand_control`: the vendor's, or that of a twin.

    Raises:
        SetupError: the vendor's is not installed.
    """
    if twin and str(_TWIN_SDK) not in sys.path:
        sys.path.insert(0, str(_TWIN_SDK))
    try:
        return importlib.import_module("xhand_controller.xhand_control")
    except ImportError as error:
        raise SetupError(
            f"the vendor's SDK, xhand_controller, cannot be imported ({error}). It is not on PyPI: the hand's maker "
            "gives it to owners, as wheels for Python 3.10 and 3.12 on x86-64 Linux. Without a hand use --twin HOST."
        ) from None


def describe(code: int, message: str = "") -> str:
    """Return an error of the SDK in words."""
    return f"{_ERRORS.get(number_of(code), message or 'unknown error')} ({code})"


def number_of(code: int) -> int:
    """Return an error's number without what all have in common."""
    return code - _BASE


def was_sent(code: int) -> bool:
    """Return whether a command arrived that was answered by this code: by none, 0, or by one that is not about it."""
    return code == 0 or number_of(code) in _SENT
