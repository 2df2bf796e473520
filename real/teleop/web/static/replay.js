// Replay of a recorded episode, with a time bar.

import { $, number } from "./view.js";

const get = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
};

export class Replay {
  /** @param {{state, picture, failed}} on what is called with a step's state, its picture, or an error */
  constructor(on) {
    this.on = on;
    this.step = this.wanted = 0;
    this.playing = this.busy = false;
    $("play").addEventListener("click", () => this.play(!this.playing));
    $("step").addEventListener("input", () => this.go(Number($("step").value)));
    $("episodes").addEventListener("change", () => this.load(Number($("episodes").value)));
    addEventListener("resize", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  async open() {
    try {
      this.list = (await (await get("/replay")).json()).episodes;
      if (!this.list.length) throw new Error("there is no recorded episode");
      $("episodes").replaceChildren(...this.list.map((episode, k) =>
        new Option(`${k + 1} · ${episode.shape} ${episode.task} · ${episode.outcome}`, k)));
      await this.load(0);
    } catch (error) {
      this.on.failed(error.message);
    }
  }

  close() {
    this.play(false);
  }

  /** Addresses a step of the episode by its key, since the list may have changed. */
  query(step = 0) {
    return new URLSearchParams({ episode: this.list[this.episode].key, step });
  }

  async load(episode) {
    this.play(false);
    this.episode = episode;
    $("step").max = this.list[episode].steps - 1;
    try {
      this.curves = await (await get(`/replay/overview?${this.query()}`)).json();
    } catch (error) {
      this.on.failed(error.message);
    }
    this.draw();
    this.go(0);
  }

  play(playing) {
    this.playing = playing;
    $("play").textContent = playing ? "❚❚" : "▶";
    $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    if (!playing) return;
    const { steps, period } = this.list[this.episode];
    if (this.step >= steps - 1) this.go(0);
    let [from, began] = [this.step, performance.now()];
    let speed = Number($("speed").value);
    const advance = (now) => {
      if (!this.playing) return;
      if (Number($("speed").value) !== speed) [speed, from, began] = [Number($("speed").value), this.step, now];
      const step = Math.min(steps - 1, from + Math.floor((speed * (now - began)) / 1000 / period));
      if (step !== this.wanted) this.go(step);
      if (step >= steps - 1) this.play(false);
      else requestAnimationFrame(advance);
    };
    requestAnimationFrame(advance);
  }

  /** Shows a step; of several that are asked for while one is loading, the last. */
  async go(step) {
    this.wanted = this.step = step;
    $("step").value = step;
    $("clock").textContent = number(step * this.list[this.episode].period, 1, " s");
    if (this.busy) return;
    this.busy = true;
    try {
      for (let shown = -1; shown !== this.wanted;) {
        shown = this.wanted;
        const query = this.query(shown);
        const [state, picture] = await Promise.all([get(`/replay/step?${query}`), get(`/replay/picture?${query}`)]);
        this.on.state((await state.json()).state);
        if (picture.status === 200) this.on.picture(await picture.blob());
      }
    } catch (error) {
      this.play(false);
      this.on.failed(error.message);
    } finally {
      this.busy = false;
    }
  }

  /** Draws turns as a curve, and when the skill ran as a band, behind the time bar. */
  draw() {
    const canvas = $("overview");
    if (!canvas.clientWidth) return;
    const scale = Math.min(2, devicePixelRatio);
    const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
    [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d");
    const colours = getComputedStyle(document.documentElement);
    const { turns = [], skill = [] } = this.curves ?? {};
    pen.fillStyle = colours.getPropertyValue("--accent-soft");
    skill.forEach((on, k) => on && pen.fillRect((k / skill.length) * width, 0, width / skill.length + 1, height));
    const top = Math.max(1e-6, ...turns);
    pen.strokeStyle = colours.getPropertyValue("--accent");
    pen.lineWidth = 1.5 * scale;
    pen.beginPath();
    turns.forEach((value, k) => pen.lineTo((k / turns.length) * width, height - 2 - (height - 4) * Math.max(0, value / top)));
    pen.stroke();
  }
}
