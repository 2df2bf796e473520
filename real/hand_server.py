"""`python -m real.hand_server`: the hand server, `real.hardware.hand_server`, by the name that users call."""

from __future__ import annotations

import sys

from real.hardware.hand_server import main

if __name__ == "__main__":
    sys.exit(main())
