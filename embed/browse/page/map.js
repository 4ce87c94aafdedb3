// The map of places: every dot one of them, near is alike. A line drawn around dots catches them.

const COLORS = [ // of groups, on light and on dark ground; the numbers on the map tell those apart that share one
  ["#0b62b0", "#5cb0ff"], ["#c2410c", "#ff9460"], ["#0a7a4b", "#4fd09a"], ["#8a2fb0", "#cf8bf0"],
  ["#94700a", "#f0c040"], ["#0b7f91", "#4fd6e8"], ["#b8246f", "#ff7cc0"], ["#5f6315", "#c5cc5a"],
];
const NONE = ["#8d979f", "#7d868f"]; // in no group
const MARGIN = 14; // pixels around the map
const NEAR = 10; // pixels between a click and the dot that it means

export const colorsOf = (group) => (group === null ? NONE : COLORS[group % COLORS.length]);

export class PlaceMap {
  // onLasso: numbers of the places inside the line, and whether they are added to those caught; onPick: number of the place clicked on.
  constructor(canvas, { onLasso, onPick, tell }) {
    Object.assign(this, { canvas, onLasso, onPick, tell });
    this.places = [];
    this.caught = new Set();
    this.chosen = null;
    this.line = null; // drawn now, in pixels
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.listen();
  }

  show(places) {
    this.places = places;
    this.draw();
  }

  mark(caught, chosen) {
    this.caught = new Set(caught);
    this.chosen = chosen;
    this.draw();
  }

  // Where a place lies, in pixels of the page from the corner of the canvas.
  at({ map: [right, up] }) {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    return [MARGIN + right * (width - 2 * MARGIN), height - MARGIN - up * (height - 2 * MARGIN)];
  }

  nearest([x, y]) {
    let best = [NEAR, null];
    this.places.forEach((place, k) => {
      const [px, py] = this.at(place);
      const apart = Math.hypot(px - x, py - y);
      if (apart <= best[0]) best = [apart, k];
    });
    return best[1];
  }

  listen() {
    const here = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left - this.canvas.clientLeft, event.clientY - box.top - this.canvas.clientTop];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.canvas.setPointerCapture(event.pointerId);
      this.line = [here(event)];
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.line) {
        this.line.push(here(event));
        this.draw();
      } else {
        const under = this.nearest(here(event));
        this.canvas.style.cursor = under === null ? "crosshair" : "pointer";
        this.canvas.title = under === null ? "" : this.tell(this.places[under]);
      }
    });
    this.canvas.addEventListener("pointerup", (event) => {
      const line = this.line;
      this.line = null;
      if (!line) return;
      const [x, y] = line[0];
      if (line.some(([px, py]) => Math.hypot(px - x, py - y) > 4)) {
        this.onLasso(this.places.map((_, k) => k).filter((k) => inside(line, this.at(this.places[k]))), event.shiftKey);
      } else {
        const under = this.nearest(here(event));
        if (under !== null) this.onPick(under);
      }
      this.draw();
    });
    this.canvas.addEventListener("pointercancel", () => { this.line = null; this.draw(); });
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width) return; // not in sight
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const shade = this.dark.matches ? 1 : 0;
    const size = this.places.length > 300 ? 2.5 : 4.5;
    const order = this.places.map((_, k) => k).sort((a, b) => this.caught.has(a) - this.caught.has(b));
    for (const k of order) {
      context.globalAlpha = !this.caught.size || this.caught.has(k) ? 1 : 0.3;
      context.fillStyle = colorsOf(this.places[k].group)[shade];
      context.beginPath();
      context.arc(...this.at(this.places[k]), size, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    const [ink, ground] = shade ? ["#e4e8ec", "#16181c"] : ["#1c2733", "#ffffff"];
    if (this.chosen !== null && this.places[this.chosen]) {
      context.strokeStyle = ink;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(...this.at(this.places[this.chosen]), size + 3, 0, 2 * Math.PI);
      context.stroke();
    }
    this.drawNumbers(context, ink, ground);
    if (this.line) this.drawLine(context, ink);
  }

  // The number of every group stands in its middle.
  drawNumbers(context, ink, ground) {
    const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
    const groups = Map.groupBy(this.places.filter((place) => place.group !== null), (place) => place.group);
    Object.assign(context, { font: "600 12px system-ui", textAlign: "center", textBaseline: "middle", lineWidth: 4, lineJoin: "round" });
    for (const [group, members] of groups) {
      const spots = members.map((place) => this.at(place));
      const spot = [middle(spots.map((each) => each[0])), middle(spots.map((each) => each[1]))];
      context.strokeStyle = ground;
      context.strokeText(group + 1, ...spot);
      context.fillStyle = ink;
      context.fillText(group + 1, ...spot);
    }
  }

  drawLine(context, ink) {
    context.beginPath();
    this.line.forEach((point) => context.lineTo(...point));
    context.closePath();
    context.globalAlpha = 0.12;
    context.fillStyle = ink;
    context.fill();
    context.globalAlpha = 1;
    Object.assign(context, { strokeStyle: ink, lineWidth: 1.5 });
    context.setLineDash([5, 3]);
    context.stroke();
  }
}

// Whether a closed line goes around a point: a ray from it crosses the line an odd number of times.
function inside(line, [x, y]) {
  let odd = false;
  line.forEach(([ax, ay], k) => {
    const [bx, by] = line.at(k - 1);
    if ((ay > y) !== (by > y) && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  });
  return odd;
}
