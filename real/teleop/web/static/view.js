// Shows a state, live or of a replay.

import { decode, drawMap, drawRamp, readShades } from "./tactile.js";

export const $ = (id) => document.getElementById(id);
export const number = (value, digits, unit = "") =>
  value === null || value === undefined ? "–" : `${(+value.toFixed(digits) + 0).toFixed(digits)}${unit}`; // no -0.0
const milliseconds = (value, digits = 0) => number(value === null || value === undefined ? null : 1000 * value, digits, " ms");

export function pill(element, text, tone) {
  element.textContent = text;
  element.dataset.tone = tone;
  element.hidden = !text;
}

export class View {
  constructor() {
    this.maps = [];
    this.last = {};
    this.ages = [];
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const recolour = () => {
      readShades();
      drawRamp($("ramp"));
      this.show(this.last);
    };
    dark.addEventListener("change", recolour);
    recolour();
  }

  async picture(blob) {
    const bitmap = await createImageBitmap(blob);
    const canvas = $("picture");
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    }
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    $("no-picture").hidden = true;
  }

  show(state) {
    this.last = state;
    $("task").textContent = [state.shape, state.task].filter(Boolean).join(" ") +
      (state.policy ? ` · ${state.policy}` : "") + (state.robot ? ` on ${state.robot}` : "");
    $("episode").hidden = state.episode === undefined;
    $("episode").textContent = `episode ${state.episode} · ${state.kept ?? 0} kept`;
    $("message").textContent = state.message ?? "";
    this.status(state);
    this.turns(state);
    this.touch(state);
    this.wrist(state);
    $("rate").textContent = state.period ? `${number(1 / state.period, 1, " Hz")} · jitter ${milliseconds(state.jitter, 1)}` : "–";
    $("ages").textContent = state.age
      ? ["arm", "hand", "touch"].map((part, k) => `${part} ${milliseconds(state.age[k])}`).join(" · ") : "–";
  }

  status(state) {
    const { trip, limited } = state.safety ?? {};
    if (!state.safety) pill($("safety"), "", "");
    else if (trip) pill($("safety"), `stopped: ${trip}`, "bad");
    else pill($("safety"), limited ? "safety: limiting" : "safety: ok", limited ? "warn" : "ok");
    pill($("skill"), state.skill === undefined ? "" : state.skill ? "skill on" : "skill off", state.skill ? "on" : "");
    pill($("clutch"), state.clutch === undefined ? "" : state.clutch ? "wrist follows" : "wrist holds", state.clutch ? "on" : "");
    pill($("recording"), state.recording ? "recording" : "", "bad");
  }

  turns(state) {
    const { turns, needed } = state;
    $("dial").hidden = turns === undefined || turns === null;
    $("turns").textContent = number(turns, 2);
    $("needed").textContent = needed ? `of ${+needed.toFixed(1)} turns` : "turns";
    const share = state.progress ?? (needed ? turns / needed : 0);
    $("arc").style.strokeDasharray = `${100 * Math.max(0, Math.min(1, share || 0))} 100`;
  }

  touch(state) {
    const names = state.fingers ?? [];
    if (this.maps.length !== names.length) this.makeMaps(names);
    const counts = state.tactile ? decode(state.tactile, names.length) : [];
    const limit = state.limits?.fingertip_force;
    this.maps.forEach(({ canvas, meter, text }, f) => {
      drawMap(canvas, counts[f]);
      const force = state.fingertip_force?.[f];
      fill(meter, text, force, limit, "N");
    });
  }

  makeMaps(names) {
    this.maps = names.map((name) => {
      const [figure, canvas, meter, text, caption] = ["figure", "canvas", "meter", "output", "figcaption"]
        .map((tag) => document.createElement(tag));
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `taxels of the ${name} fingertip`);
      caption.textContent = name;
      figure.append(caption, canvas, meter, text);
      return { figure, canvas, meter, text };
    });
    $("fingers").replaceChildren(...this.maps.map(({ figure }) => figure));
  }

  wrist(state) {
    const [force, torque] = state.tcp_force
      ? [Math.hypot(...state.tcp_force.slice(0, 3)), Math.hypot(...state.tcp_force.slice(3))] : [];
    fill($("force"), $("force-text"), force, state.limits?.wrist_force, "N");
    fill($("torque"), $("torque-text"), torque, state.limits?.wrist_torque, "N m");
    const pose = state.tcp_pose;
    ["x", "y", "z"].forEach((axis, k) => { $(`pose-${axis}`).textContent = number(pose && 1000 * pose[k], 1); });
    const [tilt, yaw] = pose ? angles(pose.slice(3)) : [];
    $("pose-tilt").textContent = number(tilt, 1, "°");
    $("pose-yaw").textContent = number(yaw, 1, "°");
  }

  input(input, limits) {
    $("input-rate").textContent = `${number(input?.rate, 0, " Hz")} · jitter ${milliseconds(input?.jitter, 1)}`;
    $("input-age").textContent = milliseconds(input?.age);
    const canvas = $("age-history");
    if (!canvas.clientWidth) return;
    this.ages = [...this.ages.slice(-199), input?.age ?? null];
    const scale = Math.min(2, devicePixelRatio);
    [canvas.width, canvas.height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
    const pen = canvas.getContext("2d");
    const colours = getComputedStyle(document.documentElement);
    this.ages.forEach((age, k) => {
      if (age === null) return;
      pen.fillStyle = colours.getPropertyValue(age > limits ? "--bad" : "--accent");
      const height = Math.max(scale, Math.min(1, age / limits) * canvas.height);
      pen.fillRect((k / 200) * canvas.width, canvas.height - height, Math.max(1, canvas.width / 200 - scale / 2), height);
    });
  }
}

function fill(meter, text, value, limit, unit) {
  const known = value !== undefined && value !== null;
  meter.max = limit ?? 1;
  meter.high = 0.8 * meter.max; // from there on it has another colour
  meter.optimum = 0;
  meter.value = known ? Math.min(value, meter.max) : 0;
  text.textContent = known ? `${value.toFixed(unit === "N m" ? 2 : 1)}${limit ? ` / ${limit}` : ""} ${unit}` : "–";
}

/** Returns the tilt of the flange's axis from straight down, and its yaw (degrees), of a rotation vector (rad). */
function angles([x, y, z]) {
  const angle = Math.hypot(x, y, z);
  const [s, c] = [Math.sin(angle), Math.cos(angle)];
  const [u, v, w] = angle ? [x / angle, y / angle, z / angle] : [0, 0, 1];
  const axis = w * w * (1 - c) + c; // z entry of the flange's z axis
  const heading = Math.atan2(u * v * (1 - c) + w * s, u * u * (1 - c) + c);
  return [Math.acos(Math.max(-1, Math.min(1, -axis))) * 180 / Math.PI, heading * 180 / Math.PI];
}
