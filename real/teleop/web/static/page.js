// The operator's page: what arrives is shown, what the operator does is sent, once a frame.

import { Arming } from "./arming.js";
import { Connection } from "./connection.js";
import { Inputs } from "./inputs.js";
import { Replay } from "./replay.js";
import { $, View, number, pill } from "./view.js";
import { Headset } from "./xr.js";
import { Panel } from "./xr_panel.js";

const PERIOD = 12; // ms between messages, at least

let [about, armed, drives, watching, mode] = [null, false, false, false, "live"];
let [source, xr, sentAt, newest] = ["keyboard", null, 0, null];

const view = new View();
const inputs = new Inputs({ busy: () => Boolean(document.querySelector("dialog[open]")), escape: disarm });
const headset = new Headset({
  frame: (frame) => { xr = frame; send(); },
  ended: () => { xr = null; disarm(); },
  arm: () => { if (!armed && drives && newest?.input && !newest.input.problem) arm(); },
});
const arming = new Arming({
  arm,
  choose: (chosen) => { source = chosen; },
  watch: () => { watching = true; arming.close(); connection.open(false); },
  enter: () => headset.enter().catch((error) => notice(`The headset was not entered: ${error.message}`)),
});
const replay = new Replay({
  state: (state) => mode === "replay" && view.show(state),
  picture: (blob) => mode === "replay" && view.picture(blob),
  failed: (reason) => notice(`Replay: ${reason}.`),
});
const connection = new Connection({
  hello(message) {
    drives = message.drives;
    notice(drives || watching || !about.drive ? "" : `${sentence(message.reason)} `, drives ? null : "Take the controls");
    if (drives && !armed && mode === "live") arming.open();
    if (!drives) arming.close();
    document.body.dataset.role = drives ? "operator" : "viewer";
  },
  state(message) {
    if (drives && !message.drives) {
      disarm();
      connection.open(false);
    }
    newest = message;
    const late = message.state_age === null ? "waiting for the session" : message.state_age > 1 ? "the session is silent" : "";
    const [age, limit] = [message.input?.age, about.age_limit];
    const input = armed && age !== null && age > limit ? "bad" : "ok";
    if (mode === "replay") pill($("link"), "replay", "");
    else pill($("link"), late || (drives ? `${armed ? "armed" : "not armed"} · ${number(age === null ? null : 1000 * age, 0, " ms")}` : "watching"),
      late ? "warn" : drives && armed ? input : "");
    if (mode === "live") {
      view.show({ ...message.state, message: (drives && armed && message.input.note) || message.state.message });
      view.input(message.input, limit);
    }
    arming.show(message.input, { gamepad: inputs.pad(), xr: headset.why, xrPossible: Boolean(headset.mode) });
    Panel.lines = panel(message);
  },
  picture: (blob) => mode === "live" && view.picture(blob).catch(() => {}),
  lost(reason) {
    pill($("link"), `not connected${reason ? `: ${reason}` : ""}`, "bad");
  },
  unpaired: pair,
});

function arm() {
  armed = true;
  arming.close();
  document.body.classList.add("armed");
}

function disarm() {
  armed = false;
  document.body.classList.remove("armed");
  send();
  if (drives && mode === "live" && about.drive) arming.open();
}

/** Sends what the operator does now. */
function send() {
  if (!about?.drive) return;
  sentAt = performance.now();
  const hidden = xr ? xr.hidden : document.hidden || !document.hasFocus();
  const { keys, gamepad } = inputs.read();
  connection.send({
    hidden, armed, source, keys, gamepad: source === "gamepad" ? gamepad : null, hands: xr?.hands ?? {}, space: xr?.space ?? 0,
  });
}

function frame(now) {
  requestAnimationFrame(frame);
  if (!xr && now - sentAt > PERIOD) send();
}

function notice(text, action = null) {
  $("notice").hidden = !text;
  $("notice").textContent = text;
  if (!text || !action) return;
  const button = document.createElement("button");
  button.textContent = action;
  button.addEventListener("click", () => { watching = false; connection.open(true); });
  $("notice").append(button);
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** What the panel in the headset says: ten lines beside the picture, then those below it. */
function panel({ state, input }) {
  const lines = [
    [armed ? "armed" : "not armed", armed ? "ok" : "warn", true],
    [state.skill ? "skill on" : "skill off", state.skill ? "on" : ""],
    [state.clutch ? "wrist follows" : "wrist holds", state.clutch ? "on" : ""],
    [`${number(state.turns, 2)} of ${number(state.needed, 1)} turns`, ""],
    [`episode ${state.episode ?? "–"}, ${state.kept ?? 0} kept`, ""],
    [`input ${number(input?.age == null ? null : 1000 * input.age, 0, " ms")}`, ""],
    ...Array(4).fill(["", ""]),
  ];
  const trip = state.safety?.trip;
  const pressed = [input?.clutch ? "clutch" : "", ...(input?.pressed ?? [])].filter(Boolean).join(", ");
  return [...lines,
    trip ? [`stopped: ${trip}`, "bad"] : [armed ? input?.note || state.message || "" : "Hold trigger and grip of the right controller to arm", "warn"],
    [pressed ? `pressed: ${pressed}` : "", "on"]];
}

async function show(chosen) {
  mode = chosen;
  document.body.dataset.mode = mode;
  for (const button of document.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", button.dataset.mode === mode);
  $("bar").hidden = mode !== "replay";
  notice("");
  if (mode === "replay") {
    disarm();
    arming.close();
    await replay.open();
  } else {
    replay.close();
    view.show(newest?.state ?? {});
    if (drives) arming.open();
  }
}

function pair() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  history.replaceState(null, "", location.pathname);
  if (!$("pairing").open) $("pairing").showModal();
  if (code) {
    $("code").value = code;
    $("pairing-form").requestSubmit();
  }
}

$("pairing").addEventListener("cancel", (event) => event.preventDefault());
$("pairing-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ code: $("code").value });
  const answer = await fetch("/pair", { method: "POST", body });
  $("pairing-note").textContent = answer.ok ? "" : sentence(await answer.text());
  if (!answer.ok) return;
  $("pairing").close();
  start();
});

function writeHelp() {
  const titles = { keyboard: "Keyboard", gamepad: "Gamepad", xr: "Headset" };
  const rows = { ...about.help };
  const names = Object.entries(about.keys).map(([code, action]) => [code.replace("Key", ""), about.actions[action]]);
  rows.keyboard = [...rows.keyboard.slice(0, -1), ...names, ...rows.keyboard.slice(-1)];
  $("help-tables").replaceChildren(...Object.entries(titles).map(([kind, title]) => {
    const section = document.createElement("section");
    section.append(Object.assign(document.createElement("h3"), { textContent: title }));
    const list = document.createElement("dl");
    for (const [keys, meaning] of rows[kind]) {
      const [term, text] = [document.createElement("dt"), document.createElement("dd")];
      [term.textContent, text.textContent] = [keys, meaning];
      list.append(term, text);
    }
    section.append(list);
    return section;
  }));
}

async function start() {
  const answer = await fetch("/about").catch(() => null);
  if (answer?.status === 401) return pair();
  if (!answer?.ok) {
    notice(answer ? sentence(await answer.text()) : "The session does not answer; start it, then reload this page.");
    return;
  }
  about = await answer.json();
  inputs.known = new Set(about.codes);
  writeHelp();
  document.body.classList.toggle("drivable", about.drive);
  $("modes").hidden = !(about.replay && about.live);
  if (about.live) {
    connection.open(about.drive);
    requestAnimationFrame(frame);
  } else pill($("link"), "replay", "");
  if (about.replay && !about.live) show("replay");
}

for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => show(button.dataset.mode));
$("open-help").addEventListener("click", () => $("help").showModal());
$("disarm").addEventListener("click", disarm);
document.addEventListener("visibilitychange", send);
addEventListener("blur", send);
start();
