// The arming screen: shows what arrives at the robot's computer, before anything moves.

import { $, number } from "./view.js";

const DIRECTIONS = [["right", "left"], ["ahead", "back"], ["up", "down"], ["pitch up", "pitch down"],
  ["roll right", "roll left"], ["yaw left", "yaw right"]];

/** Returns a nudge (6 numbers, m/s and rad/s) in words. */
export function motion(nudge) {
  return nudge.flatMap((speed, k) => speed === 0 ? [] : [
    `${DIRECTIONS[k][speed > 0 ? 0 : 1]} ${k < 3 ? `${number(1000 * Math.abs(speed), 0)} mm/s` : `${number(Math.abs(speed) * 180 / Math.PI, 0)} °/s`}`,
  ]).join(", ");
}

export class Arming {
  /** @param {{arm, choose, watch, enter}} on what the operator does here */
  constructor(on) {
    this.tried = false;
    this.source = "keyboard";
    this.dialog = $("arming");
    $("arm").addEventListener("click", on.arm);
    $("watch").addEventListener("click", on.watch);
    $("enter-xr").addEventListener("click", on.enter);
    this.dialog.addEventListener("cancel", (event) => event.preventDefault());
    for (const button of this.dialog.querySelectorAll("[data-source]")) {
      button.addEventListener("click", () => { this.choose(button.dataset.source); on.choose(button.dataset.source); });
    }
    this.choose("keyboard");
  }

  choose(source) {
    this.source = source;
    this.tried = false;
    for (const button of this.dialog.querySelectorAll("[data-source]")) {
      button.setAttribute("aria-checked", button.dataset.source === source);
    }
  }

  open() {
    this.tried = false;
    if (!this.dialog.open) this.dialog.show();
  }

  close() {
    this.dialog.close();
  }

  /** Shows what this browser has, and what the server makes of it. */
  show(input, devices) {
    $("has-keyboard").textContent = "always there";
    $("has-gamepad").textContent = devices.gamepad ? (devices.gamepad.standard ? "connected" : "layout unknown") : "press a button on it";
    $("has-xr").textContent = devices.xr;
    $("enter-xr").hidden = this.source !== "xr" || !devices.xrPossible;
    $("arm").hidden = this.source === "xr";
    if (!input) return;
    const moving = motion(input.nudge);
    this.tried ||= input.source === this.source && Boolean(moving || input.pressed.length || input.clutch);
    $("arrive-link").textContent = input.rate
      ? `${input.source}, ${number(input.rate, 0, " Hz")}, ${number(1000 * input.age, 0, " ms")} old` : "nothing";
    $("arrive-motion").textContent = moving || "none";
    $("arrive-pressed").textContent = [input.clutch ? "clutch" : "", ...input.pressed].filter(Boolean).join(", ") || "nothing";
    $("arrive-pose").textContent = input.pose
      ? input.pose.map((value) => number(100 * value, 0)).join(", ") + " cm" : input.source === "xr" ? "not tracked" : "none";
    const [x, y, z] = input.nudge.map((speed) => speed / 0.036);
    $("needle").style.transform = `translate(${28 * x}px, ${-28 * y}px)`;
    $("lift").style.transform = `translateY(${-28 * z}px)`;
    const ready = input.rate && !input.problem && this.tried;
    $("arm").disabled = !ready;
    $("arming-note").textContent = input.problem || (!input.rate ? input.note
      : this.source === "xr" ? "Face the robot, then enter. In the headset, hold trigger and grip of the right controller to arm."
      : ready ? "The input arrives." : "Try it: move something, or press a button.");
  }
}
