// A panel in the headset: the picture and the state, on a rectangle that stands in the room.

const [WIDTH, HEIGHT] = [1024, 704];
const PERIOD = 100; // ms between its drawings
// Half of its size, its place in the local-floor space: ahead, a little below the eyes (m).
const [HALF_WIDTH, PLACE] = [0.55, [0, 1.25, -1.3]];

const VERTEX = `attribute vec2 corner; uniform mat4 view, projection; uniform vec3 place; uniform vec2 size;
varying vec2 at; void main() { at = corner * vec2(0.5, -0.5) + 0.5;
gl_Position = projection * view * vec4(place + vec3(corner * size, 0.0), 1.0); }`;
const FRAGMENT = `precision mediump float; varying vec2 at; uniform sampler2D image;
void main() { gl_FragColor = texture2D(image, at); }`;

export class Panel {
  static lines = []; // what it says: [text, tone], set by the page

  constructor(gl, transparent) {
    this.gl = gl;
    this.transparent = transparent;
    this.canvas = new OffscreenCanvas(WIDTH, HEIGHT);
    this.pen = this.canvas.getContext("2d");
    this.drawn = -Infinity;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    this.program = program;
    this.at = (name) => gl.getUniformLocation(program, name);
    this.corners = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.corners);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    for (const [name, value] of [[gl.TEXTURE_MIN_FILTER, gl.LINEAR], [gl.TEXTURE_MAG_FILTER, gl.LINEAR],
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]]) {
      gl.texParameteri(gl.TEXTURE_2D, name, value);
    }
  }

  /** Draws the panel's own picture. */
  compose() {
    const pen = this.pen;
    const tones = { ok: "#4ade80", on: "#3fc6b4", warn: "#f0a63a", bad: "#ff6b6b" };
    pen.fillStyle = "#0e1413";
    pen.fillRect(0, 0, WIDTH, HEIGHT);
    const picture = document.getElementById("picture");
    pen.drawImage(picture, 0, 0, 768, (768 / picture.width) * picture.height);
    pen.fillStyle = "#161e1c";
    pen.fillRect(768, 0, WIDTH - 768, HEIGHT);
    pen.fillRect(0, 576, WIDTH, HEIGHT - 576);
    Panel.lines.forEach(([text, tone, big], k) => {
      pen.fillStyle = tones[tone] ?? "#e8efed";
      pen.font = `${big ? 600 : 400} ${big ? 38 : 29}px system-ui, sans-serif`;
      const beside = k < 10;
      pen.fillText(text, beside ? 792 : 28, beside ? 60 + 50 * k : 625 + 44 * (k - 10), beside ? 215 : 970);
    });
  }

  draw(session, frame, floor) {
    const { gl } = this;
    const layer = session.renderState.baseLayer;
    const pose = frame.getViewerPose(floor);
    gl.bindFramebuffer(gl.FRAMEBUFFER, layer.framebuffer);
    gl.clearColor(0.04, 0.06, 0.055, this.transparent ? 0 : 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!pose) return;
    gl.useProgram(this.program);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    if (performance.now() - this.drawn > PERIOD) {
      this.drawn = performance.now();
      this.compose();
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, this.canvas);
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, this.corners);
    const corner = gl.getAttribLocation(this.program, "corner");
    gl.enableVertexAttribArray(corner);
    gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
    gl.uniform3fv(this.at("place"), PLACE);
    gl.uniform2f(this.at("size"), HALF_WIDTH, (HALF_WIDTH * HEIGHT) / WIDTH);
    for (const view of pose.views) {
      const { x, y, width, height } = layer.getViewport(view);
      gl.viewport(x, y, width, height);
      gl.uniformMatrix4fv(this.at("projection"), false, view.projectionMatrix);
      gl.uniformMatrix4fv(this.at("view"), false, view.transform.inverse.matrix);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
  }
}
