// A fingertip's map: twelve rows of ten taxels, brighter with the counts above rest.

export const ROWS = 12, COLUMNS = 10;
const [FIRST, FULL] = [2, 20]; // counts up to which a taxel is at rest, but for noise; those of the last shade

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let shades = [];

/** Reads the colours of the theme; to be called again when that changes. */
export function readShades() {
  const stops = [1, 2, 3, 4, 5].map((k) => style(`--touch-${k}`).match(/\w\w/g).map((pair) => parseInt(pair, 16)));
  shades = Array.from({ length: 256 }, (_, count) => {
    const place = Math.max(0, Math.log(Math.min(count, FULL) / FIRST) / Math.log(FULL / FIRST)) * (stops.length - 1);
    const k = Math.min(stops.length - 2, Math.floor(place));
    return `rgb(${stops[k].map((low, i) => Math.round(low + (stops[k + 1][i] - low) * (place - k))).join(" ")})`;
  });
}

export function drawRamp(canvas) {
  const pen = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    pen.fillStyle = shades[Math.round(FIRST * (FULL / FIRST) ** (x / canvas.width))];
    pen.fillRect(x, 0, 1, canvas.height);
  }
}

export function drawMap(canvas, counts) {
  const cell = 8;
  if (canvas.width !== COLUMNS * cell) [canvas.width, canvas.height] = [COLUMNS * cell, ROWS * cell];
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (let k = 0; k < ROWS * COLUMNS; k++) {
    pen.fillStyle = shades[counts?.[k] ?? 0];
    pen.beginPath();
    pen.roundRect((k % COLUMNS) * cell + 0.5, Math.floor(k / COLUMNS) * cell + 0.5, cell - 1, cell - 1, 1.5);
    pen.fill();
  }
}

/** Returns the counts (fingers, 120) of a state, whose taxels are base64. */
export function decode(text, fingers) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const size = bytes.length / fingers;
  return Array.from({ length: fingers }, (_, f) => bytes.subarray(f * size, (f + 1) * size));
}
