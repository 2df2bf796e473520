// WebXR: the controllers' poses in the room, and a panel in front of the operator.

import { Panel } from "./xr_panel.js";

const round = (value) => Math.max(-1, Math.min(1, Math.round(value * 1000) / 1000));
const ARMING = 1000; // ms for which trigger and grip are held to arm

export class Headset {
  /** @param {{frame, ended, arm}} on what is called for every frame, at the end, and to arm */
  constructor(on) {
    this.on = on;
    this.mode = null;
    this.why = "asking the browser";
    this.session = null;
    this.space = 0;
    this.look();
  }

  async look() {
    if (!isSecureContext) this.why = "needs HTTPS, or localhost";
    else if (!navigator.xr) this.why = "this browser has no WebXR";
    else {
      for (const mode of ["immersive-ar", "immersive-vr"]) {
        if (await navigator.xr.isSessionSupported(mode).catch(() => false)) {
          [this.mode, this.why] = [mode, "ready"];
          return;
        }
      }
      this.why = "no headset found";
    }
  }

  async enter() {
    const session = await navigator.xr.requestSession(this.mode, { requiredFeatures: ["local-floor"] });
    const canvas = document.createElement("canvas");
    const gl = canvas.getContext("webgl", { xrCompatible: true, alpha: true });
    await gl.makeXRCompatible?.();
    await session.updateRenderState({ baseLayer: new XRWebGLLayer(session, gl) });
    // The room's own frame: the head may move without moving the robot.
    const floor = await session.requestReferenceSpace("local-floor");
    floor.addEventListener?.("reset", () => { this.space++; });
    session.addEventListener("end", () => {
      this.session = null;
      this.on.ended();
    });
    this.session = session;
    this.space++;
    this.panel = new Panel(gl, this.mode === "immersive-ar");
    const draw = (time, frame) => {
      if (this.session !== session) return;
      session.requestAnimationFrame(draw);
      const hands = this.hands(frame, floor);
      this.hold(hands.right, time);
      this.on.frame({ hands, space: this.space, hidden: session.visibilityState !== "visible" });
      this.panel.draw(session, frame, floor);
    };
    session.requestAnimationFrame(draw);
  }

  leave() {
    this.session?.end().catch(() => {});
  }

  hands(frame, floor) {
    const hands = {};
    for (const { handedness, gripSpace, gamepad } of frame.session.inputSources) {
      if ((handedness !== "right" && handedness !== "left") || !gripSpace || gamepad?.mapping !== "xr-standard") continue;
      const pose = frame.getPose(gripSpace, floor);
      if (!pose) continue;
      const { position: p, orientation: q } = pose.transform;
      hands[handedness] = {
        p: [p.x, p.y, p.z],
        q: [q.x, q.y, q.z, q.w],
        emulated: Boolean(pose.emulatedPosition),
        buttons: gamepad.buttons.slice(0, 32).map((button) => round(button?.value ?? 0)),
        axes: gamepad.axes.slice(0, 16).map((axis) => round(axis ?? 0)),
      };
    }
    return hands;
  }

  /** Arms after trigger and grip of the right controller were held together. */
  hold(right, time) {
    const held = right && right.buttons[0] > 0.5 && right.buttons[1] > 0.5;
    this.since = held ? this.since ?? time : null;
    if (held && time - this.since > ARMING) {
      this.since = Infinity; // once, until both are let go
      this.on.arm();
    }
  }
}
