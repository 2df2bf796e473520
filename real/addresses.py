"""Where a robot is: what all command lines that can drive one ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Addresses of arm and hand, and the keys of the hand server."""

    arm: str = ""
    """Address of the arm's controller, such as 192.168.1.10; a twin's server is at 127.0.0.2."""
    hand: str = ""
    """Address of the hand server, such as tcp://127.0.0.1:5557."""
    server_key: Path | None = None
    """File with the hand server's public key, server.key; needed beyond this machine."""
    client_key: Path | None = None
    """File with this client's own keys, client.key_secret; needed beyond this machine."""

    def options(self) -> list[str]:
        """Return the options that were given, as a command line has them, such as --arm."""
        return ["--" + field.name.replace("_", "-") for field in fields(Addresses) if getattr(self, field.name)]

    def check_both(self) -> None:
        """Refuse a robot of which a part is missing.

        Raises:
            ValueError: an address is missing.
        """
        if not (self.arm and self.hand):
            given = f"got only {', '.join(self.options())}" if self.options() else "got none"
            raise ValueError(f"a robot needs the addresses of both its parts, --arm and --hand; {given}")


NO_ADDRESSES = Addresses()
AddressOptions = Annotated[Addresses, OmitArgPrefixes]
"""A field of a command line's arguments: its options are --arm, --hand and so on."""
