"""Replay of recorded episodes on the page: what a recording must offer, and how the page asks for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

from aiohttp import web

from real.teleop.web.state import check_state, encode, picture_type

_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class Episode:
    """A recorded episode, as the page lists it."""

    key: str
    """Tells it from all others; pages ask for it by this, since lists change."""
    task: str
    shape: str
    outcome: str
    """In a word or two, such as "success"."""
    steps: int
    period: float
    """Control period (s)."""


class Replay(Protocol):
    """Recorded episodes. All calls come from one thread; the others count them by their place in the list."""

    def episodes(self) -> Sequence[Episode]:
        """Return the episodes."""

    def overview(self, episode: int) -> Mapping[str, Any]:
        """Return what the time bar shows of an episode: `turns` and `skill`, a number for each step; may be empty."""

    def state(self, episode: int, step: int) -> Mapping[str, Any]:
        """Return the `State` of a step."""

    def picture(self, episode: int, step: int) -> bytes | None:
        """Return the picture of a step, JPEG or PNG, or None where there is none."""


class ReplayRoutes:
    """Answers the page's requests for recorded episodes.

    Args:
        replay: the episodes; asked from one thread, since files and renderers belong to one.
    """

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="replay")

    def add_to(self, app: web.Application) -> None:
        """Add the routes to an application."""
        app.router.add_get("/replay", self._episodes)
        app.router.add_get("/replay/overview", self._overview)
        app.router.add_get("/replay/step", self._state)
        app.router.add_get("/replay/picture", self._picture)
        app.on_cleanup.append(self._close)

    async def _ask(self, question: Callable[..., _Value], *arguments: Any) -> _Value:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question, *arguments)

    async def _episodes(self, request: web.Request) -> web.Response:
        episodes = await self._ask(self._replay.episodes)
        return _json(encode("episodes", {"episodes": [asdict(episode) for episode in episodes]}))

    async def _overview(self, request: web.Request) -> web.Response:
        overview = await self._ask(self._found, request, lambda episode, _: self._replay.overview(episode))
        return _json(encode("overview", dict(overview)))

    async def _state(self, request: web.Request) -> web.Response:
        state = await self._ask(self._found, request, self._replay.state)
        return _json(encode("step", {"state": check_state(state)}))

    async def _picture(self, request: web.Request) -> web.Response:
        picture = await self._ask(self._found, request, self._replay.picture)
        if picture is None:
            return web.Response(status=204)
        return web.Response(body=picture, content_type=picture_type(picture))

    def _found(self, request: web.Request, question: Callable[[int, int], _Value]) -> _Value:
        """Ask about the episode and step of a request. One call does all, so that the list does not change between."""
        key, step = request.query.get("episode", ""), request.query.get("step", "0")
        for place, episode in enumerate(self._replay.episodes()):
            if episode.key == key and re.fullmatch(r"\d{1,8}", step) and int(step) < max(1, episode.steps):
                return question(place, int(step))
        raise web.HTTPNotFound(text="there is no such episode or step")

    async def _close(self, app: web.Application) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")
