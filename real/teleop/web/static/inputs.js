// Keys, buttons on the page and gamepads. A button on the page acts as its key.

const TAP = 120; // ms that a tap lasts at least, so that a frame sees it
const round = (value) => Math.max(-1, Math.min(1, Math.round(value * 1000) / 1000));

export class Inputs {
  /** @param {{busy: () => boolean, escape: () => void}} page whether a dialog is open; what Escape does */
  constructor(page) {
    this.page = page;
    this.keys = new Set();
    this.known = new Set();
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    addEventListener("blur", () => this.keys.clear());
    document.addEventListener("visibilitychange", () => this.keys.clear());
    for (const button of document.querySelectorAll("[data-key]")) this.touch(button);
  }

  key(event, down) {
    if (event.code === "Escape" && down) this.page.escape();
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
    if (down && (event.ctrlKey || event.metaKey || event.altKey)) return;
    if (!this.known.has(event.code)) return;
    if (!this.page.busy()) event.preventDefault(); // else Space presses the button that has the focus
    if (down) this.keys.add(event.code);
    else this.keys.delete(event.code);
    this.show();
  }

  touch(button) {
    const code = button.dataset.key;
    let pressed = 0;
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      pressed = performance.now();
      this.keys.add(code);
      this.show();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(name, () => {
        setTimeout(() => { this.keys.delete(code); this.show(); }, Math.max(0, TAP - (performance.now() - pressed)));
      });
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

  read() {
    return { keys: [...this.keys].slice(0, 16), gamepad: this.pad() };
  }
}
