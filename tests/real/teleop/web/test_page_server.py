"""The server as browsers and others see it, over loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from dataclasses import replace

import aiohttp
import numpy as np
import pytest
from cryptography import x509
from page_messages import raw
from page_session import state

from real.robot import SetupError
from real.teleop.operator import Scene
from real.teleop.web.config import PageConfig
from real.teleop.web.operator import WebOperator
from real.teleop.web.pages import MAX_PAGES
from real.teleop.web.replay import Episode
from real.teleop.web.server import PageServer

pytestmark = pytest.mark.network
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SCENE = Scene(time=0.0, wrist=np.zeros(6))


class Recorded:
    """One episode of three steps."""

    def episodes(self):
        return [Episode(key="one/1 &", task="nut", shape="square", outcome="success", steps=3, period=0.05)]

    def overview(self, episode):
        return {"turns": [0, 1, 2], "skill": [0, 1, 1]}

    def state(self, episode, step):
        if step == 2:
            raise OSError("the file is damaged")
        return state(step)

    def picture(self, episode, step):
        return PNG if step == 0 else None


@pytest.fixture
def operator():
    operator = WebOperator(PageConfig(port=0), replay=Recorded(), tell=lambda text: None)
    operator.start()
    yield operator
    operator.close()


def url(operator, path="/"):
    return operator.server.addresses[0].rstrip("/") + path


def origin(operator):
    return {"Origin": url(operator, "")}


def live(operator, session="test-session", drive=1):
    return url(operator, f"/live?session={session}&drive={drive}")


def ask(body):
    """Run a coroutine that gets a client."""

    async def run():
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
            return await asyncio.wait_for(body(client), 20)

    return asyncio.run(run())


async def hear(page, kind):
    """Return the next message of a kind."""
    while True:
        received = await page.receive(timeout=5)
        assert received.type is aiohttp.WSMsgType.TEXT, received
        message = json.loads(received.data)
        if message["kind"] == kind:
            return message


async def closing(page):
    """Return code and reason with which the server closes a page.

    Both are of its last message: where the client's answer comes too late, `page.close_code` becomes 1006.
    """
    while True:
        received = await page.receive(timeout=5)
        assert received.type is not aiohttp.WSMsgType.CLOSED, "the connection ended without a reason"
        if received.type is aiohttp.WSMsgType.CLOSE:
            return received.data, received.extra


async def orders_once(operator, condition):
    """Return the operator's orders as soon as they meet a condition."""
    until = time.monotonic() + 5
    while not condition(orders := operator.orders(SCENE)):
        assert time.monotonic() < until, orders
        await asyncio.sleep(0.005)
    return orders


def test_the_page_is_served_with_a_strict_policy(operator):
    async def body(client):
        async with client.get(url(operator)) as answer:
            text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
            assert "<title>DexScrew</title>" in text
            assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/none.js", "/etc/passwd"):
            async with client.get(url(operator, path)) as answer:
                assert answer.status == 404
        async with client.get(url(operator, "/about")) as answer:
            about = await answer.json()
            assert about["drive"] and about["replay"] and about["keys"]["Space"] == "skill"

    ask(body)


def test_the_newest_state_and_picture_are_shown(operator):
    async def body(client):
        async with client.ws_connect(live(operator), headers=origin(operator)) as page:
            hello = await hear(page, "hello")
            assert hello["drives"]
            operator.publish(state(1), PNG)
            shown = await hear(page, "state")
            while not shown["state"]:
                shown = await hear(page, "state")
            assert shown["state"]["task"] == "nut" and isinstance(shown["state"]["tactile"], str)
            picture = await page.receive(timeout=5)
            while picture.type is not aiohttp.WSMsgType.BINARY:
                picture = await page.receive(timeout=5)
            assert picture.data == PNG

    ask(body)


def test_what_the_page_sends_becomes_orders(operator):
    async def body(client):
        async with client.ws_connect(live(operator), headers=origin(operator)) as page:
            for seq, keys in enumerate(([], ["KeyW"])):
                await page.send_str(raw(seq, keys=keys, t_ms=20 * seq))
            await orders_once(operator, lambda orders: orders.fresh and orders.nudge[1] > 0)
        await orders_once(operator, lambda orders: "disconnected" in orders.note)

    ask(body)


@pytest.mark.parametrize("why", ["finished", "lost", "trip", "ended"])
def test_the_skill_does_not_outlive_the_episode(operator, why):
    async def body(client):
        async with client.ws_connect(live(operator), headers=origin(operator)) as page:
            for seq, keys in enumerate(([], ["Space"], [])):
                await page.send_str(raw(seq, keys=keys, t_ms=20 * seq))
            await orders_once(operator, lambda orders: orders.skill)
            over = replace(SCENE, **{why: True if why == "finished" else "in words"})
            assert not operator.orders(over).skill
            assert operator.orders(SCENE).fresh and not operator.orders(SCENE).skill

    ask(body)


def test_a_second_operator_may_only_watch(operator):
    async def body(client):
        async with client.ws_connect(live(operator, "first-page"), headers=origin(operator)) as first:
            async with client.ws_connect(live(operator, "second-page"), headers=origin(operator)) as second:
                hello = await hear(second, "hello")
                assert not hello["drives"] and "may watch" in hello["reason"]
                await second.send_str(raw(0, session="second-page", keys=["KeyW"]))
                await asyncio.sleep(0.1)
                assert not operator.orders(SCENE).fresh
                assert (await hear(second, "state"))["drives"] is False
            await first.close()
        await orders_once(operator, lambda orders: "disconnected" in orders.note)
        async with client.ws_connect(live(operator, "second-page"), headers=origin(operator)) as second:
            assert (await hear(second, "hello"))["drives"]

    ask(body)


def test_a_page_that_connects_anew_replaces_itself(operator):
    async def body(client):
        old = await client.ws_connect(live(operator), headers=origin(operator))
        new = await client.ws_connect(live(operator), headers=origin(operator))
        assert (await hear(new, "hello"))["drives"]
        code, reason = await closing(old)
        assert code == 1001 and "anew" in reason
        for seq in range(2):
            await new.send_str(raw(seq, t_ms=20 * seq))
        await orders_once(operator, lambda orders: orders.fresh)

    ask(body)


@pytest.mark.parametrize(
    ("data", "words"),
    [("{", "message"), (raw(0, session="other-session"), "another session"), (raw(0, v=9), "reload")],
)
def test_what_is_no_message_ends_the_connection_with_a_reason(operator, data, words):
    async def body(client):
        async with client.ws_connect(live(operator), headers=origin(operator)) as page:
            await page.send_str(data)
            code, reason = await closing(page)
            assert code == 1008 and words in reason

    ask(body)


def test_binary_and_oversize_messages_end_the_connection(operator):
    async def body(client):
        async with client.ws_connect(live(operator), headers=origin(operator)) as page:
            await page.send_bytes(b"\x80\x04\x95")
            assert (await closing(page))[0] == 1003
        async with client.ws_connect(live(operator), headers=origin(operator)) as page:
            await page.send_str("x" * 100_000)
            assert (await closing(page))[0] == 1009
        async with client.post(url(operator, "/pair"), data=b"x" * 5000, headers=origin(operator)) as answer:
            assert answer.status == 413
        async with client.get(url(operator)) as answer:
            assert answer.status == 200

    ask(body)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1.evil.example", "Origin": "http://127.0.0.1.evil.example"},
    ],
)
def test_other_web_sites_are_refused(operator, headers):
    async def body(client):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(live(operator), headers=headers)
        assert refused.value.status == 403
        if "Host" in headers:
            async with client.get(url(operator, "/about"), headers={"Host": headers["Host"]}) as answer:
                assert answer.status == 403 and "not called" in await answer.text()

    ask(body)


def test_too_many_pages_and_sessions_without_a_name_are_told(operator):
    async def body(client):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="422"):
            await client.ws_connect(live(operator, ""), headers=origin(operator))
        pages = [
            await client.ws_connect(live(operator, f"session-{number}"), headers=origin(operator))
            for number in range(MAX_PAGES)
        ]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await client.ws_connect(live(operator, "one-too-many"), headers=origin(operator))
        assert not any(page.closed for page in pages)

    ask(body)


def test_a_page_that_reads_nothing_does_not_hold_up_the_session(operator):
    async def body(client):
        async with client.ws_connect(live(operator), headers=origin(operator)):
            for step in range(50):
                operator.publish(state(step), b"\xff\xd8\xff" + bytes(200_000))
                await asyncio.sleep(0)

    began = time.monotonic()
    ask(body)
    assert time.monotonic() - began < 10


def test_a_recording_is_shown_step_by_step(operator):
    async def body(client):
        async with client.get(url(operator, "/replay")) as answer:
            episodes = (await answer.json())["episodes"]
            assert episodes[0]["steps"] == 3
            key = episodes[0]["key"]

        def get(what, episode=key, step=0):
            return client.get(url(operator, f"/replay/{what}"), params={"episode": episode, "step": step})

        async with get("overview") as answer:
            assert (await answer.json())["turns"] == [0, 1, 2]
        async with get("step", step=1) as answer:
            assert (await answer.json())["state"]["task"] == "nut"
        async with get("picture") as answer:
            assert answer.content_type == "image/png" and await answer.read() == PNG
        for what, episode, step, status in (
            ("picture", key, 1, 204), ("step", "two", 0, 404), ("step", "", 0, 404), ("step", key, 3, 404),
            ("step", key, -1, 404), ("step", key, "²", 404), ("overview", "two", 0, 404), ("step", key, 2, 422),
        ):  # fmt: skip
            async with get(what, episode, step) as answer:
                assert answer.status == status

    ask(body)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (({"tasks": "nut"}, None), "unknown keys of a state: tasks"),
        (({"tactile": np.zeros((5, 120))}, None), "uint8"),
        (({"tactile": np.zeros((5, 7), np.uint8)}, None), "120"),
        (({}, b"GIF89a"), "JPEG or PNG"),
    ],
)
def test_a_state_that_the_page_cannot_show_is_refused(wrong, words):
    server = PageServer(PageConfig())
    with pytest.raises(ValueError, match=words):
        server.publish(*wrong)
    for state_, picture in ((None, None), ({}, "text")):
        with pytest.raises(TypeError):
            server.publish(state_, picture)


def test_a_port_in_use_is_told():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        operator = WebOperator(PageConfig(port=other.getsockname()[1]), tell=lambda text: None)
        with pytest.raises(SetupError, match="in use"):
            operator.start()
        operator.close()


def test_a_foreign_address_is_told(tmp_path):
    operator = WebOperator(PageConfig(host="192.0.2.250", port=0, folder=tmp_path), tell=lambda text: None)
    with pytest.raises(SetupError, match=r"no address of this computer|cannot listen"):
        operator.start()


def test_closing_twice_and_before_the_start_is_allowed():
    operator = WebOperator(PageConfig(port=0), tell=lambda text: None)
    operator.close()
    operator.start()
    operator.close()
    operator.close()
    operator.publish({"task": "nut"})
    assert "ended" in operator.orders(SCENE).note
    assert not any(thread.name == "page" for thread in threading.enumerate())


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_that_stands_for_all_is_neither_shown_nor_certified(tmp_path, monkeypatch, host):
    there = frozenset({"localhost", "127.0.0.1", "::1", "192.0.2.7", "2001:db8::1"})
    monkeypatch.setattr("real.teleop.web.certificate.own_names", lambda: there)
    told: list[str] = []
    operator = WebOperator(PageConfig(host=host, port=0, folder=tmp_path), tell=told.append)
    try:
        operator.start()
    except SetupError:
        pytest.skip(f"nothing can listen at {host} here")
    finally:
        operator.close()
    shown = "192.0.2.7" if host == "0.0.0.0" else "[2001:db8::1]"
    assert operator.server.addresses == [f"https://{shown}:{operator.server.port}/"]
    assert f"{host}:" not in told[0].replace("[2001:db8::1]", "")
    certificate = x509.load_pem_x509_certificate((tmp_path / "certificate.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in names} == there


def test_beyond_loopback_a_browser_pairs_over_https_first(tmp_path):
    told: list[str] = []
    operator = WebOperator(PageConfig(host="0.0.0.0", port=0, folder=tmp_path), tell=told.append)
    operator.start()
    here = f"https://127.0.0.1:{operator.server.port}"
    trusted = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    code = told[0].split("Pairing code: ")[1][:7]

    async def body(client):
        async with client.get(here, ssl=trusted) as answer:
            assert answer.status == 200
        async with client.get(f"{here}/about", ssl=trusted) as answer:
            assert answer.status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await client.ws_connect(f"{here}/live?session=test-session", ssl=trusted, headers={"Origin": here})

        async def pair(text):
            data = json.dumps({"code": text})
            async with client.post(f"{here}/pair", data=data, ssl=trusted, headers={"Origin": here}) as answer:
                return answer.status, answer.headers.get("Set-Cookie", "")

        assert (await pair("no code"))[0] == 403
        status, cookie = await pair(code)
        assert status == 204
        assert all(word in cookie for word in ("__Host-", "HttpOnly", "Secure", "SameSite=Strict"))
        assert (await pair(code))[0] == 403  # used up
        async with client.get(f"{here}/about", ssl=trusted) as answer:
            assert answer.status == 200
        async with client.ws_connect(
            f"{here}/live?session=test-session&drive=1", ssl=trusted, headers={"Origin": here}
        ) as page:
            assert (await hear(page, "hello"))["drives"]

    try:
        ask(body)
    finally:
        operator.close()
    assert len(told) == 2  # a new code for the next browser
