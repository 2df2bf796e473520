// The WebSocket to the session: reconnects by itself, sends the newest input only, and notices a silent server.

const SILENCE = 2500; // ms without a state, after which the connection is given up
const QUEUE = 4096; // bytes that wait to be sent, from which on input is left out rather than queued

export class Connection {
  /** @param {{hello, state, picture, lost, unpaired}} on what is called when something arrives */
  constructor(on) {
    this.on = on;
    this.session = crypto.randomUUID();
    this.drive = true;
    this.sequence = 0;
    this.number = 0;
    this.socket = null;
    this.delay = 250;
    setInterval(() => this.watch(), 500);
    addEventListener("pagehide", () => this.socket?.close(1000));
    addEventListener("pageshow", (event) => event.persisted && location.reload());
  }

  open(drive) {
    this.drive = drive;
    clearTimeout(this.timer);
    if (this.socket) this.socket.onclose = null;
    this.socket?.close(1000);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/live?session=${this.session}&drive=${drive ? 1 : 0}`);
    socket.binaryType = "blob";
    socket.onmessage = ({ data }) => this.receive(data);
    socket.onclose = (event) => this.closed(event.reason);
    this.socket = socket;
    this.number = 0;
    this.heard = performance.now();
  }

  receive(data) {
    this.heard = performance.now();
    if (data instanceof Blob) return this.on.picture(data);
    const message = JSON.parse(data);
    if (message.kind === "hello") {
      this.delay = 250;
      this.on.hello(message);
    } else {
      this.number = message.number;
      this.on.state(message);
    }
  }

  send(input) {
    if (this.socket?.readyState !== WebSocket.OPEN || this.socket.bufferedAmount > QUEUE) return;
    const envelope = { v: 1, session: this.session, seq: this.sequence++, t_ms: performance.now(), ack: this.number };
    this.socket.send(JSON.stringify({ ...envelope, ...input }));
  }

  watch() {
    if (this.socket?.readyState !== WebSocket.OPEN || performance.now() - this.heard < SILENCE) return;
    const socket = this.socket;
    socket.onclose = null; // a dead network may keep it open for minutes
    socket.close();
    this.closed("nothing has arrived for a while");
  }

  closed(reason) {
    this.on.lost(reason);
    this.timer = setTimeout(async () => {
      this.delay = Math.min(2000, 2 * this.delay);
      try {
        const { status } = await fetch("/about", { cache: "no-store" });
        if (status === 401) return this.on.unpaired();
      } catch {
        return this.closed("the session does not answer");
      }
      this.open(this.drive);
    }, this.delay);
  }
}
