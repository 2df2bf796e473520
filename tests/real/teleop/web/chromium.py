"""Headless Chromium for tests, through its DevTools protocol over aiohttp; it needs no driver and no download.

Get it with `apt-get install chromium` on Debian. Headsets are emulated by IWER (MIT), which is not part of this
repository: `npm install --no-save iwer@2.5.0` in the checkout, or name its `iwer.min.js` in `DEXSCREW_IWER`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
IWER = Path(os.environ.get("DEXSCREW_IWER") or Path(__file__).parents[4] / "node_modules/iwer/build/iwer.min.js")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-default-apps", "--disable-gpu-compositing", "--disable-gpu-rasterization",
    "--disable-accelerated-2d-canvas", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--window-size=1280,800",
)  # fmt: skip


class Page:
    """A page in a browser of its own.

    Attributes:
        requests: addresses that the page asked for.
        errors: exceptions and complaints of its console.
    """

    def __init__(self, profile: Path, *, before: str = "") -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._process = subprocess.Popen(
            [str(PROGRAM), *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = self._wait_for(profile / "DevToolsActivePort").split()[0]
            self._loop.run_until_complete(self._connect(int(port)))
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
            self.call("Emulation.setFocusEmulationEnabled", enabled=True)
            if before:
                self.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _wait_for(path: Path) -> str:
        end = time.monotonic() + 30
        while not (path.is_file() and path.read_text()):
            if time.monotonic() > end:
                raise TimeoutError("Chromium did not start")
            time.sleep(0.05)
        return path.read_text()

    async def _connect(self, port: int) -> None:
        self._client = aiohttp.ClientSession()
        async with self._client.get(f"http://127.0.0.1:{port}/json") as answer:
            targets = await answer.json()
        address = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        self._socket = await self._client.ws_connect(address, max_msg_size=0)
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for received in self._socket:
            message = json.loads(received.data)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
                continue
            content = message["params"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(content["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                self.requests.append(content["url"])
            elif message["method"] == "Runtime.exceptionThrown":
                self.errors.append(str(content["exceptionDetails"].get("exception", {}).get("description")))
            elif message["method"] == "Log.entryAdded" and content["entry"]["level"] == "error":
                self.errors.append(content["entry"]["text"])

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the DevTools protocol."""

        async def send() -> Any:
            self._number += 1
            answer = self._answers[self._number] = self._loop.create_future()
            await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
            return await asyncio.wait_for(answer, 30)

        answer = self._loop.run_until_complete(send())
        assert "error" not in answer, answer
        return answer["result"]

    def run(self, script: str) -> Any:
        """Run an expression in the page, as by a person's gesture, and return its value."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, condition: str, seconds: float = 30.0) -> None:
        """Wait until an expression in the page is true."""
        end = time.monotonic() + seconds
        while not self.run(condition):
            note = self.run("document.querySelector('#arming-note')?.textContent")
            assert time.monotonic() < end, f"{condition} has not become true; {note}; {self.errors}"
            time.sleep(0.05)

    def open(self, address: str) -> None:
        """Load an address."""
        self.call("Page.navigate", url=address)

    def key(self, code: str, *, down: bool) -> None:
        """Press a key or let it go."""
        self.call("Input.dispatchKeyEvent", type="rawKeyDown" if down else "keyUp", code=code, key=code)

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(10)

        async def end() -> None:
            if hasattr(self, "_reader"):
                self._reader.cancel()
            if hasattr(self, "_client"):
                await self._client.close()

        self._loop.run_until_complete(end())
        self._loop.close()
