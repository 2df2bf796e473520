"""End to end: a person's keys, gamepad and headset in headless Chromium, and what the session gets of them.

See chromium.py for what has to be installed; without it these tests are skipped.
"""

from __future__ import annotations

import shutil
from urllib.parse import urlsplit

import chromium
import numpy as np
import pytest
from page_session import FakeSession

from baselines.data.reader import Demonstrations
from real.teleop.recorded import SAMPLES, RecordedEpisodes
from real.teleop.web.config import PageConfig
from real.teleop.web.link import LinkLimits
from real.teleop.web.operator import WebOperator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium here (Debian: apt-get install chromium)"),
]
needs_iwer = pytest.mark.skipif(
    not chromium.IWER.is_file(), reason="IWER is not here (npm install --no-save iwer@2.5.0)"
)
PATIENT = LinkLimits(silence=2.0, age=1.5)
"""For machines that are busy with other tests."""
ARMABLE = "!document.querySelector('#arm').disabled"

_GAMEPAD = """
window.pad = {connected: true, mapping: "standard", id: "test", axes: [0, 0, 0, 0],
  buttons: Array.from({length: 17}, () => ({value: 0, pressed: false}))};
navigator.getGamepads = () => [window.pad];
"""
_HEADSET = """
window.device = new IWER.XRDevice(IWER.%s);
device.installRuntime({forceInstall: true});
device.controllers.right.position.set(0.3, 1.2, -0.4);
// IWER says of every pose that it is a guess; here the test says whether it is.
window.guessed = false;
Object.defineProperty(XRPose.prototype, "emulatedPosition", {get: () => window.guessed});
"""
_CHOOSE = "(list => { list.value = %d; list.dispatchEvent(new Event('change')); })(document.querySelector('#episodes'))"
STEPS = 12


@pytest.fixture
def session(tmp_path):
    replay = RecordedEpisodes(tmp_path / "demos", SAMPLES / "nut")
    operator = WebOperator(PageConfig(port=0), PATIENT, replay=replay, tell=lambda text: None)
    with FakeSession(operator) as session:
        yield session


@pytest.fixture
def browse(tmp_path, session):
    pages = []

    def open_page(before: str = "") -> chromium.Page:
        page = chromium.Page(tmp_path / f"profile-{len(pages)}", before=before)
        pages.append(page)
        page.open(session.operator.server.addresses[0])
        page.until("document.querySelector('#arrive-link')?.textContent.includes('Hz')")
        return page

    yield open_page
    for page in pages:
        page.close()


def arm_by_keys(page):
    page.key("KeyG", down=True)
    page.until(ARMABLE)
    page.key("KeyG", down=False)
    page.run("document.querySelector('#arm').click()")


def test_keys_move_the_wrist_once_the_page_is_armed(browse, session):
    page = browse()
    page.key("KeyW", down=True)
    page.until(ARMABLE)
    assert "ahead" in page.run("document.querySelector('#arrive-motion').textContent")
    assert not session.orders.fresh and not session.position.any()
    page.key("KeyW", down=False)
    page.run("document.querySelector('#arm').click()")
    assert session.until(lambda s: s.orders.fresh)
    page.key("KeyW", down=True)
    assert session.until(lambda s: s.position[1] > 0.001)
    page.key("KeyW", down=False)
    assert session.until(lambda s: not s.orders.nudge.any())
    page.key("Space", down=True)
    page.key("Space", down=False)
    assert session.until(lambda s: s.orders.skill)
    page.key("Escape", down=True)
    assert session.until(lambda s: not s.orders.fresh and not s.orders.skill)
    assert page.run("document.querySelector('#arming').open")
    assert page.errors == []


def test_buttons_on_the_page_act_as_their_keys(browse, session):
    page = browse()
    arm_by_keys(page)
    assert session.until(lambda s: s.orders.fresh)
    page.run("""(() => { const button = document.querySelector("[data-key=Backspace]");
        button.setPointerCapture = () => {};
        button.dispatchEvent(new PointerEvent("pointerdown", {pointerId: 1}));
        button.dispatchEvent(new PointerEvent("pointerup", {pointerId: 1})); })()""")
    assert session.until(lambda s: any(orders.mark == "discard" for orders, _ in s.history))


def test_a_gamepad_moves_the_wrist_until_it_is_unplugged(browse, session):
    page = browse(_GAMEPAD)
    page.run("document.querySelector('[data-source=gamepad]').click()")
    page.run("pad.buttons[5].value = 1; pad.axes[1] = -1")
    page.until(ARMABLE)
    page.run("pad.axes[1] = 0; document.querySelector('#arm').click()")
    assert session.until(lambda s: s.orders.fresh)
    page.run("pad.axes[1] = -1")
    assert session.until(lambda s: s.orders.nudge[1] > 0)
    page.run("pad.connected = false")
    assert session.until(lambda s: not s.orders.fresh and "plug it in" in s.orders.note)


def test_a_second_page_watches(browse, session):
    first, second = browse(), browse()
    arm_by_keys(first)
    second.until("document.body.dataset.role === 'viewer'")
    assert "may watch" in second.run("document.querySelector('#notice').textContent")
    assert session.until(lambda s: s.orders.fresh)


def test_an_episode_is_replayed_also_when_it_is_at_another_place_by_now(browse, tmp_path):
    page = browse()
    page.run("document.querySelector('[data-mode=replay]').click()")
    page.until("document.querySelectorAll('#episodes option').length === 3")
    first, _, last = Demonstrations(SAMPLES / "nut")
    page.until(f"document.querySelector('#task').textContent.startsWith('{first.header.shape}')")
    (tmp_path / "demos").mkdir()
    shutil.copy(last.path, tmp_path / "demos")  # it is the only one now
    page.run(_CHOOSE % 2)
    page.until(f"document.querySelector('#task').textContent.startsWith('{last.header.shape}')")
    page.run(_CHOOSE % 0)
    page.until("document.querySelector('#notice').textContent.includes('there is no such episode')")


def test_the_page_asks_nobody_else(browse, session):
    page = browse()
    here = urlsplit(session.operator.server.addresses[0]).netloc
    asked = {
        urlsplit(address).netloc
        for address in page.requests
        if urlsplit(address).scheme in ("http", "https", "ws", "wss")
    }
    assert asked == {here}
    assert page.errors == []


def test_a_browser_without_a_headset_says_so(browse, session):
    page = browse("Object.defineProperty(navigator, 'xr', {value: undefined})")
    page.until("document.querySelector('#has-xr').textContent.includes('no WebXR')")
    assert page.run("document.querySelector('#enter-xr').hidden")


class Quest:
    """An emulated headset, and the hands that hold its controllers."""

    def __init__(self, browse, model: str) -> None:
        self.page = browse(chromium.IWER.read_text(encoding="utf-8") + _HEADSET % model)

    def press(self, side: str = "right", **buttons: float) -> None:
        for name, value in buttons.items():
            self.page.run(f"device.controllers.{side}.updateButtonValue('{name.replace('_', '-')}', {value})")

    def tap(self, name: str, side: str = "right") -> None:
        self.press(side, **{name: 1})
        self.page.run("new Promise((done) => setTimeout(done, 200))")
        self.press(side, **{name: 0})

    def move(self, x: float) -> None:
        """Move the right controller to the right, as smoothly as a hand does (m)."""
        self.page.run(f"""(async () => {{ const start = device.controllers.right.position.x;
            for (let k = 1; k <= {STEPS}; k++) {{
              device.controllers.right.position.x = start + ({x} - start) * k / {STEPS};
              await new Promise((done) => setTimeout(done, 30)); }} }})()""")

    def arm(self, session) -> None:
        self.page.run("document.querySelector('[data-source=xr]').click()")
        self.page.until("!document.querySelector('#enter-xr').hidden")
        self.page.run("document.querySelector('#enter-xr').click()")
        self.page.until("document.querySelector('#arrive-pose').textContent.includes('cm')")
        assert not session.orders.fresh
        self.press(trigger=1, squeeze=1)
        assert session.until(lambda s: s.orders.fresh)
        self.press(trigger=0, squeeze=0)
        assert not any(orders.clutch for orders, _ in session.history)


@needs_iwer
@pytest.mark.parametrize("model", ["metaQuest2", "metaQuest3"])
def test_a_headset_drives_and_a_lost_connection_asks_for_a_fresh_press(browse, session, model):
    quest = Quest(browse, model)
    quest.arm(session)
    quest.press(trigger=1)
    assert session.until(lambda s: s.orders.clutch)
    quest.move(0.4)
    assert session.until(lambda s: abs(s.position[0] - 0.1) < 0.002)
    quest.tap("x_button", side="left")
    assert session.until(lambda s: s.orders.skill)

    cut(session)
    assert session.until(lambda s: not s.orders.fresh and not s.orders.skill and not s.orders.clutch)
    before = session.position.copy()
    quest.move(0.9)  # far away, with the trigger still held
    assert session.until(lambda s: s.orders.fresh)
    assert not session.orders.clutch and "let go" in session.orders.note
    assert np.array_equal(session.position, before)

    quest.press(trigger=0)
    assert session.until(lambda s: not s.orders.note)
    quest.press(trigger=1)
    assert session.until(lambda s: s.orders.clutch)
    assert np.allclose(session.position, before, atol=1e-3)
    quest.move(0.95)
    assert session.until(lambda s: abs(s.position[0] - before[0] - 0.05) < 0.002)
    quest.press(trigger=0)
    quest.tap("b_button")
    assert session.until(lambda s: any(orders.mark == "discard" for orders, _ in s.history))
    steps = np.diff([position[0] for _, position in session.history])
    assert np.abs(steps).max() < 0.06  # nowhere a jump: the hand moved at 0.3 m/s at most
    assert quest.page.errors == []


def cut(session):
    """Break the connection of the page that drives, as a lost link does."""
    server = session.operator.server
    server._loop.call_soon_threadsafe(lambda: [page.socket._req.transport.abort() for page in server._pages._open])


@needs_iwer
def test_lost_tracking_holds_the_robot(browse, session):
    quest = Quest(browse, "metaQuest3")
    quest.arm(session)
    quest.press(trigger=1)
    assert session.until(lambda s: s.orders.clutch)
    quest.page.run("window.guessed = true")
    assert session.until(lambda s: not s.orders.fresh and "into view" in s.orders.note)
    quest.page.run("window.guessed = false")
    assert session.until(lambda s: s.orders.fresh)
    assert not session.orders.clutch
    quest.page.run("device.controllers.right.connected = false")
    assert session.until(lambda s: not s.orders.fresh and "not tracked" in s.orders.note)


@needs_iwer
def test_leaving_the_headset_disarms(browse, session):
    quest = Quest(browse, "metaQuest2")
    quest.arm(session)
    quest.page.run("device.activeSession.end()")
    assert session.until(lambda s: not s.orders.fresh)
    assert quest.page.run("document.querySelector('#arming').open")


@needs_iwer
def test_the_head_moves_nothing(browse, session):
    quest = Quest(browse, "metaQuest3")
    quest.arm(session)
    quest.press(trigger=1)
    assert session.until(lambda s: s.orders.clutch)
    quest.page.run("device.position.set(0.5, 1.8, 0.5); device.quaternion.set(0, 0.38, 0, 0.92)")
    count = len(session.history)
    assert session.until(lambda s: len(s.history) > count + 6)
    assert session.orders.clutch and np.allclose(session.position, 0)
