// Keys, buttons on the page and gamepads. A button on the page acts as its key.

const round = (value) => Math.max(-1, Math.min(1, Math.round(value * 1000) / 1000));

export class Inputs {
  /** @param {{busy: () => boolean, escape: () => void}} page whether a dialog is open; what Escape does */
  constructor(page) {
    this.page = page;
    this.keys = new Set();
    this.taps = new Set(); // pressed since the last frame: a tap may be over before the next
    this.known = new Set();
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    addEventListener("blur", () => this.clear());
    document.addEventListener("visibilitychange", () => this.clear());
    for (const button of document.querySelectorAll("[data-key]")) this.touch(button);
  }

  key(event, down) {
    if (event.code === "Escape" && down) this.page.escape();
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
    if (down && (event.ctrlKey || event.metaKey || event.altKey)) return;
    if (!this.known.has(event.code)) return;
    if (!this.page.busy()) event.preventDefault(); // else Space presses the button that has the focus
    this.press(event.code, down);
  }

  press(code, down) {
    if (down) {
      this.keys.add(code);
      this.taps.add(code);
    } else this.keys.delete(code);
    this.show();
  }

  clear() {
    this.keys.clear();
    this.taps.clear();
    this.show();
  }

  touch(button) {
    const code = button.dataset.key;
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      this.press(code, true);
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(name, () => this.press(code, false));
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  show() {
    for (const button of document.querySelectorAll("[data-key]")) {
      button.classList.toggle("down", this.keys.has(button.dataset.key));
    }
  }

  pad() {
    const pad = [...(navigator.getGamepads?.() ?? [])].find((each) => each?.connected && each.buttons.length > 0);
    if (!pad) return null;
    return {
      standard: pad.mapping === "standard",
      buttons: pad.buttons.slice(0, 32).map((button) => round(button.value)),
      axes: pad.axes.slice(0, 16).map(round),
    };
  }

  /** Returns what is pressed, or was since the last call. */
  read() {
    const keys = [...new Set([...this.keys, ...this.taps])].slice(0, 16);
    this.taps.clear();
    return { keys, gamepad: this.pad() };
  }
}
