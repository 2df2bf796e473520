"""The operator's page as an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dexscrew_envs import program
from real.teleop.operator import Orders, Scene
from real.teleop.web.config import PageConfig
from real.teleop.web.inputs import Inputs
from real.teleop.web.link import LinkLimits
from real.teleop.web.replay import Replay
from real.teleop.web.server import PageServer


class WebOperator:
    """A person at the page, with a keyboard, a gamepad, a touch screen or a headset.

    Args:
        config: where the page is served.
        limits: what input counts as new.
        replay: recorded episodes that the page offers to look at.
        tell: shows the operator the addresses and the pairing code.
    """

    name = "web"

    def __init__(
        self,
        config: PageConfig | None = None,
        limits: LinkLimits | None = None,
        replay: Replay | None = None,
        tell: Callable[[str], None] = program.say,
    ) -> None:
        self._inputs = Inputs(limits)
        self.server = PageServer(config or PageConfig(), self._inputs, replay, tell)

    def start(self) -> None:
        """Serve the page.

        Raises:
            SetupError: the address or the port cannot be taken.
            ValueError: the certificate's folder cannot be written.
        """
        self.server.start()

    def orders(self, scene: Scene) -> Orders:
        """Return what the person at the page wants now."""
        return self._inputs.orders(over=scene.over)

    def publish(self, state: Mapping[str, Any], picture: bytes | None = None) -> None:
        """Show a state and a picture on the page; see `PageServer.publish`."""
        self.server.publish(state, picture)

    def close(self) -> None:
        """Stop serving the page."""
        self.server.close()
