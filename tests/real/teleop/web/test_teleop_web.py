"""The whole command with a person's page: what is pressed there moves a twin, and is recorded."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from page_messages import raw

import real
from baselines.data.reader import Demonstrations
from dexscrew_envs.program import Status

ROOT = Path(real.__file__).parents[1]


@pytest.fixture
def command(tmp_path):
    """A running command: its process, the page's address, and its folder."""
    out = tmp_path / "demos"
    arguments = ["--task", "nut", "--shape", "cross", "--episodes", "1", "--no-browser", "--port", "0", "--no-noise"]
    process = subprocess.Popen(
        [sys.executable, "-m", "real.teleop", *arguments, "--out", str(out)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        address = None
        while address is None:
            line = process.stderr.readline()
            assert line, "it ended before it served a page"
            address = re.search(r"http://\S+", line)
        yield process, address[0].rstrip("/"), out
    finally:
        process.kill()
        process.communicate()


async def drive(address, script):
    """Send keys at 20 Hz: pairs of seconds and keys, from the first state on; return the states that were shown."""
    states, seq, ack = [], 0, 0
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client,
        client.ws_connect(f"{address}/live?session=test-session&drive=1", headers={"Origin": address}) as page,
    ):
        for seconds, keys in script:
            begun = time.monotonic()
            while not states or time.monotonic() < begun + seconds:
                await page.send_str(raw(seq, keys=keys, t_ms=1000 * time.monotonic(), ack=ack))
                seq += 1
                await asyncio.sleep(0.04)
                while True:
                    try:
                        received = await page.receive(timeout=0.002)
                    except TimeoutError:
                        break
                    if received.type is aiohttp.WSMsgType.CLOSED:
                        return states
                    if received.type is aiohttp.WSMsgType.TEXT:
                        message = json.loads(received.data)
                        ack = message.get("number", ack)
                        if message.get("state"):
                            begun = begun if states else time.monotonic()
                            states.append(message["state"])
    return states


def test_what_is_pressed_on_the_page_turns_the_nut_and_is_recorded(command):
    process, address, out = command
    script = [(2.0, []), (0.2, ["Space"]), (6.0, []), (0.5, ["KeyE"]), (0.5, []), (0.2, ["Enter"]), (1.0, [])]
    states = asyncio.run(drive(address, script))
    assert process.wait(60) == Status.DONE
    assert not states[0]["recording"] and any(state["recording"] for state in states)
    [episode] = Demonstrations(out)
    assert episode.outcome.mark == "success" and episode.header.operator == "web"
    assert episode["skill"].max() == 1 and episode.outcome.turns > 0.1
    assert episode["tcp_pose"][-1, 2] > episode["tcp_pose"][0, 2] + 2e-4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_the_episode_is_kept(command, number):
    process, address, out = command
    asyncio.run(drive(address, [(2.0, []), (0.2, ["Space"]), (2.0, [])]))
    process.send_signal(number)
    process.wait(60)
    from baselines.data.checking import check

    [finding] = check(out)
    assert finding.sound
