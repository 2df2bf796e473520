"""Where the page's server listens, and what it tells the operator about it."""

from __future__ import annotations

import io
import ipaddress
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from dexscrew_envs.files import check_folder


@dataclass(frozen=True, kw_only=True)
class PageConfig:
    """Where the page's server listens.

    Raises:
        ValueError: the address or the port is none, or beyond loopback the folder is missing or cannot be written.
        TypeError: the folder is no path.
    """

    host: str = "127.0.0.1"
    """Address to listen at. Beyond loopback, such as 0.0.0.0, the page comes over HTTPS, and browsers pair first."""
    port: int = 8765
    """Port; 0 takes any that is free."""
    folder: Path | None = None
    """Where the certificate is kept; needed beyond loopback only."""

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or not _is_address(self.host):
            raise ValueError(
                f"host must be an address of this computer, such as 127.0.0.1 or 0.0.0.0, got {self.host!r}"
            )
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port < 2**16:
            raise ValueError(f"port must be a number from 0 to 65535, got {self.port!r}")
        if self.folder is not None and not isinstance(self.folder, Path):
            raise TypeError(f"folder must be a Path, got {self.folder!r}")
        if not self.local:
            if self.folder is None:
                raise ValueError(f"to listen at {self.host}, give a folder to keep the certificate in")
            check_folder(self.folder)

    @property
    def local(self) -> bool:
        """Whether only this computer can reach the server."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    @property
    def everywhere(self) -> bool:
        """Whether the server listens at all addresses of this computer; the host is then none that can be opened."""
        return not self.local and ipaddress.ip_address(self.host).is_unspecified

    def addresses(self, port: int, names: frozenset[str]) -> list[str]:
        """Return the page's addresses, the most useful first.

        Args:
            port: where the server really listens.
            names: names and addresses of this computer.
        """
        if self.local:
            return [f"http://{_in_url(self.host)}:{port}/"]
        if not self.everywhere:
            return [f"https://{_in_url(self.host)}:{port}/"]
        version = ipaddress.ip_address(self.host).version  # a server at :: has no IPv4 address
        found = (a for a in map(_address, names) if a and a.version == version and not a.is_loopback)
        urls = [f"https://{_in_url(str(address))}:{port}/" for address in sorted(found, key=int)]
        return urls or [f"https://localhost:{port}/"]


def invitation(addresses: list[str], code: str | None) -> str:
    """Return what the terminal shows: addresses and, beyond loopback, a pairing code with a QR code that holds both.

    Args:
        addresses: of the page, the most useful first.
        code: the pairing code, or None where nobody has to pair.
    """
    if code is None:
        return f"The operator's page: {addresses[0]}"
    import segno

    drawn = io.StringIO()
    # The fragment stays in the browser: no log, and no other server, sees the code.
    segno.make(f"{addresses[0]}#code={code}", micro=False).terminal(out=drawn, compact=True)
    picture = drawn.getvalue()
    try:
        picture.encode(getattr(sys.stderr, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        picture = ""
    others = "".join(f"\n  or  {address}" for address in addresses[1:])
    return (
        f"{picture}\nThe operator's page: {addresses[0]}{others}\n"
        f"Pairing code: {code[:3]} {code[3:]}, for one browser. "
        "The browser warns of the certificate once, since it is this computer's own: choose Advanced, then Proceed."
    )


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    return host == "localhost" or (_address(host) is not None and not re.search("%", host))


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
