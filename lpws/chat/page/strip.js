// The strip: requests and messages of the last seconds, as they happen, drawn to scale.

const WINDOW_S = 15;
const ROWS = [
  { name: "listens", y: 22, of: (request) => request.path !== "post" },
  { name: "speaks", y: 56, of: (request) => request.path === "post" },
];
const HEIGHT = 12; // of a bar [px]
const LEFT = 62; // room for the names of the rows [px]

export class Strip {
  constructor(canvas, journal) {
    Object.assign(this, { canvas, journal });
    this.pen = canvas.getContext("2d");
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    const again = () => requestAnimationFrame(() => {
      this.draw();
      setTimeout(again, still.matches ? 1000 : 40);
    });
    again();
  }

  draw() {
    const { canvas, pen, journal } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    const sharp = devicePixelRatio;
    if (canvas.width !== width * sharp || canvas.height !== height * sharp) {
      Object.assign(canvas, { width: width * sharp, height: height * sharp });
    }
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    const color = Object.fromEntries(
      ["accent", "muted", "line", "alarm"].map((name) => [name, style.getPropertyValue(`--${name}`)]),
    );
    pen.font = `11px ${style.fontFamily}`;
    const now = journal.clock.now();
    const x = (t) => width - 8 - ((now - t) / WINDOW_S) * (width - 8 - LEFT);

    pen.fillStyle = color.muted;
    pen.strokeStyle = color.line;
    pen.lineWidth = 1;
    for (let back = 0; back < WINDOW_S; back += 5) {
      const at = Math.round(x(now - back)) - 0.5;
      this.#line(at, 6, at, 74);
      pen.textAlign = back ? "center" : "right";
      pen.fillText(back ? `−${back} s` : "now", at, 86);
    }
    pen.textAlign = "left";
    for (const { name, y } of ROWS) pen.fillText(name, 0, y + 4);

    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, width - LEFT, height);
    pen.clip();
    for (const { y, of } of ROWS) this.#row(journal.requests.filter(of), y, x, now, color);
    pen.strokeStyle = color.accent;
    for (const t of journal.spoken) this.#message(x(t), ROWS[1].y);
    pen.restore();
  }

  #row(requests, y, x, now, color) {
    const { pen, journal } = this;
    let connection, label = null; // of several that are close together, the last is written
    const write = () => {
      pen.fillStyle = color.muted;
      if (label && label.x + 26 < x(now)) pen.fillText(label.text, label.x, y - HEIGHT / 2 - 2);
      label = null;
    };
    for (const request of requests) {
      const from = x(request.start);
      const to = Math.max(x(request.end ?? now), from + 2);
      const another = request.connection !== undefined && request.connection !== connection;
      connection = request.connection ?? connection;
      if (to < LEFT - 40) continue;
      if (label && label.x + 34 < from) write();
      pen.fillStyle = request.failed ? color.alarm : color.accent;
      pen.globalAlpha = request.failed ? 1 : 0.28;
      pen.fillRect(from, y - HEIGHT / 2, to - from, HEIGHT);
      pen.globalAlpha = 1;
      pen.strokeStyle = request.failed ? color.alarm : color.accent;
      pen.lineWidth = 1;
      this.#line(from + 0.5, y - HEIGHT / 2, from + 0.5, y + HEIGHT / 2);
      if (request.first) {
        pen.beginPath();
        pen.arc(from, y - HEIGHT / 2 - 5, 3, 0, 7);
        pen.fill();
      }
      if (request.first || another) label = null; // no room for it
      if (another) label = { text: `#${request.connection}`, x: from + 6 };
      pen.strokeStyle = color.accent;
      for (const t of request.messages) this.#message(x(t), y);
    }
    write();
  }

  #message(x, y) {
    this.pen.lineWidth = 2;
    this.#line(x, y - HEIGHT / 2 - 2, x, y + HEIGHT / 2 + 2);
  }

  #line(x0, y0, x1, y1) {
    this.pen.beginPath();
    this.pen.moveTo(x0, y0);
    this.pen.lineTo(x1, y1);
    this.pen.stroke();
  }
}
