// Three planes through one tomogram, linked: each shows where the other two cut it.

import { $, address, load } from "./api.js";

// Which of x, y, z runs to the right, upwards, and across each plane.
const PLANES = { xy: ["x", "y", "z"], xz: ["x", "z", "y"], yz: ["z", "y", "x"] };
const AHEAD = 3; // planes fetched before they are asked for
const KEPT = 240; // pictures

export class Planes {
  // onClick: a place x y z in Å, and whether Shift was held; onDrag: a mark with a number that was moved.
  constructor({ onMove, onClick, onDrag }) {
    Object.assign(this, { onMove, onClick, onDrag });
    this.heat = null; // {object, search}: likeness to the examples as colour
    this.run = null;
    this.marks = [];
    this.pictures = new Map();
    this.window = { contrast: 50, brightness: 50 };
    this.mean = 3;
    this.views = Object.entries(PLANES).map(([name, [right, up, across]]) => ({ name, right, up, across, canvas: $(name) }));
    for (const view of this.views) this.listen(view);
    new ResizeObserver(() => this.draw()).observe($("views"));
  }

  // Å of a run become voxels here; the centre of the first voxel is at 0.
  open(run, at = null) {
    this.run = run;
    const [nz, ny, nx] = run.shape;
    this.size = { x: nx, y: ny, z: nz };
    this.at = at ?? { x: Math.floor(nx / 2), y: Math.floor(ny / 2), z: Math.floor(nz / 2) };
    this.zoom = 1;
    this.centre = { ...this.at };
    if (!at) this.centre = { x: nx / 2, y: ny / 2, z: nz / 2 };
    this.draw();
  }

  go(xyz, recentre = true) {
    ["x", "y", "z"].forEach((axis, k) => {
      this.at[axis] = Math.min(this.size[axis] - 1, Math.max(0, xyz[k] / this.run.spacing));
    });
    if (recentre && this.zoom > 1) this.centre = { ...this.at };
    this.draw();
    this.onMove();
  }

  get xyz() {
    return ["x", "y", "z"].map((axis) => this.at[axis] * this.run.spacing);
  }

  scale(view) {
    const xy = this.views[0].canvas;
    const fit = Math.min(xy.width / this.size.x, xy.height / this.size.y);
    if (view.name === "xy") return fit * this.zoom;
    const own = Math.min(view.canvas.width / this.size[view.right], view.canvas.height / this.size[view.up]);
    return Math.min(own, fit) * this.zoom;
  }

  toPixels(view, point) {
    const scale = this.scale(view);
    return [view.canvas.width / 2 + (point[view.right] - this.centre[view.right]) * scale,
      view.canvas.height / 2 - (point[view.up] - this.centre[view.up]) * scale];
  }

  toVoxels(view, event) {
    const box = view.canvas.getBoundingClientRect();
    const ratio = view.canvas.width / box.width;
    const scale = this.scale(view);
    const point = { ...this.at };
    point[view.right] = ((event.clientX - box.left) * ratio - view.canvas.width / 2) / scale + this.centre[view.right];
    point[view.up] = -((event.clientY - box.top) * ratio - view.canvas.height / 2) / scale + this.centre[view.up];
    return point;
  }

  inside(view, point) {
    return [view.right, view.up].every((axis) => point[axis] >= 0 && point[axis] <= this.size[axis] - 1);
  }

  step(view, count) {
    const last = this.size[view.across] - 1;
    this.at[view.across] = Math.min(last, Math.max(0, Math.round(this.at[view.across]) + count));
    this.draw();
    this.onMove();
    for (let k = 1; k <= AHEAD; k++) {
      const place = Math.round(this.at[view.across]) + Math.sign(count) * k;
      if (place >= 0 && place <= last) this.picture(view, place);
    }
  }

  listen(view) {
    const { canvas } = view;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      if (!this.run) return;
      event.preventDefault();
      if (!event.ctrlKey && !event.metaKey) return this.step(view, event.deltaY > 0 ? 1 : -1);
      const before = this.toVoxels(view, event);
      this.zoom = Math.min(20, Math.max(1, this.zoom * Math.exp(-event.deltaY / 400)));
      const after = this.toVoxels(view, event);
      for (const axis of [view.right, view.up]) this.centre[axis] += before[axis] - after[axis];
      this.draw();
    }, { passive: false });
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.run) return;
      canvas.setPointerCapture(event.pointerId);
      drag = { x: event.clientX, y: event.clientY, centre: { ...this.centre }, window: { ...this.window }, moved: false,
        right: event.button === 2, mark: event.button === 2 ? null : this.markAt(view, event) };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.run) return;
      const point = this.toVoxels(view, event);
      this.under = this.inside(view, point) ? point : null;
      canvas.style.cursor = (drag ? drag.mark : this.markAt(view, event)) ? "grab" : "";
      if (drag) {
        const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
        drag.moved ||= Math.hypot(dx, dy) > 4;
        if (drag.moved && drag.right) {
          this.window = { contrast: clamp(drag.window.contrast + dx / 4), brightness: clamp(drag.window.brightness - dy / 4) };
          $("contrast").value = this.window.contrast;
          $("brightness").value = this.window.brightness;
        } else if (drag.moved && drag.mark) {
          if (this.under) for (const axis of [view.right, view.up]) drag.mark.xyz["xyz".indexOf(axis)] = point[axis] * this.run.spacing;
        } else if (drag.moved) {
          const ratio = canvas.width / canvas.getBoundingClientRect().width / this.scale(view);
          this.centre[view.right] = drag.centre[view.right] - dx * ratio;
          this.centre[view.up] = drag.centre[view.up] + dy * ratio;
        }
        this.draw();
      }
      this.onMove();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (drag && !drag.moved && !drag.right) {
        const point = this.toVoxels(view, event);
        if (this.inside(view, point)) {
          this.go(["x", "y", "z"].map((axis) => point[axis] * this.run.spacing), false);
          this.onClick(this.xyz, event.shiftKey);
        }
        canvas.focus();
      } else if (drag?.mark) this.onDrag(drag.mark);
      drag = null;
    });
    canvas.addEventListener("keydown", (event) => {
      if (!this.run || event.ctrlKey || event.metaKey) return;
      const move = { ArrowLeft: [view.right, -1], ArrowRight: [view.right, 1], ArrowUp: [view.up, 1], ArrowDown: [view.up, -1] }[event.key];
      if (event.key === "PageUp" || event.key === "PageDown") this.step(view, event.key === "PageUp" ? 1 : -1);
      else if (event.key === "+" || event.key === "-") {
        this.zoom = Math.min(20, Math.max(1, this.zoom * (event.key === "+" ? 1.25 : 0.8)));
        this.centre = this.zoom === 1 ? { x: this.size.x / 2, y: this.size.y / 2, z: this.size.z / 2 } : { ...this.at };
        this.draw();
      } else if (move) {
        this.at[move[0]] = Math.min(this.size[move[0]] - 1, Math.max(0, this.at[move[0]] + move[1]));
        this.draw();
        this.onMove();
      } else return;
      event.preventDefault();
    });
  }

  // The latest mark that can be moved and whose inner half lies under the pointer.
  markAt(view, event) {
    const point = this.toVoxels(view, event);
    const apart = (mark, axis) => mark.xyz["xyz".indexOf(axis)] / this.run.spacing - point[axis];
    return this.marks.findLast((mark) => mark.number !== undefined
      && Math.hypot(apart(mark, view.right), apart(mark, view.up)) < mark.radius / this.run.spacing / 2
      && Math.abs(apart(mark, view.across)) < mark.radius / this.run.spacing);
  }

  picture(view, place, kind = "slice", more = { mean: this.mean }) {
    const source = address(kind, { run: this.run.name, axis: view.name, place, ...more });
    if (!this.pictures.has(source)) {
      const image = new Image();
      image.addEventListener("load", () => this.draw());
      image.addEventListener("error", () => this.pictures.delete(source));
      this.pictures.set(source, image);
      load(image, source);
      if (this.pictures.size > KEPT) this.pictures.delete(this.pictures.keys().next().value);
    }
    return this.pictures.get(source);
  }

  draw() {
    if (!this.run || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.views.forEach((view) => this.drawView(view)); });
  }

  drawView(view) {
    const { canvas } = view;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.fillStyle = "#777";
    context.fillRect(0, 0, width, height);
    const place = Math.round(this.at[view.across]);
    const image = this.picture(view, place);
    const shown = image.complete && image.naturalWidth ? image : view.last;
    const scale = this.scale(view);
    const corner = { x: -0.5, y: -0.5, z: -0.5 };
    corner[view.up] = this.size[view.up] - 0.5;
    const [left, top] = this.toPixels(view, corner);
    if (shown && shown.run === undefined) shown.run = this.run.name;
    if (shown && shown.run === this.run.name) {
      view.last = shown;
      const strength = this.window.contrast / 50;
      context.filter = `brightness(${0.5 + this.window.brightness / 100}) contrast(${Math.max(0.3, strength * strength * 2.2)})`;
      context.imageSmoothingEnabled = scale < 4;
      const extent = [left, top, this.size[view.right] * scale, this.size[view.up] * scale];
      this.drawUpright(context, view, shown, ...extent);
      context.filter = "none";
      const over = this.heat && this.picture(view, place, "likeness", this.heat);
      if (over?.complete && over.naturalWidth) this.drawUpright(context, view, over, ...extent);
    }
    this.drawCross(context, view, ratio);
    for (const mark of this.marks) this.drawMark(context, view, mark, scale, ratio);
    if (view.name === "xy") this.drawBar(context, width, height, scale, ratio);
  }

  // The server draws a plane across x with y to the right and z upwards; here z runs to the right, beside the large plane.
  drawUpright(context, view, image, left, top, width, height) {
    if (view.name !== "yz") return context.drawImage(image, left, top, width, height);
    context.save();
    context.transform(0, -1, -1, 0, left + width, top + height);
    context.drawImage(image, 0, 0, height, width);
    context.restore();
  }

  drawCross(context, view, ratio) {
    const [x, y] = this.toPixels(view, this.at);
    context.strokeStyle = "rgba(80, 170, 255, .55)";
    context.lineWidth = ratio;
    context.beginPath();
    context.moveTo(x, 0); context.lineTo(x, context.canvas.height);
    context.moveTo(0, y); context.lineTo(context.canvas.width, y);
    context.stroke();
  }

  drawMark(context, view, mark, scale, ratio) {
    const point = { x: mark.xyz[0] / this.run.spacing, y: mark.xyz[1] / this.run.spacing, z: mark.xyz[2] / this.run.spacing };
    const radius = mark.radius / this.run.spacing;
    const off = Math.abs(point[view.across] - this.at[view.across]);
    if (off > radius) return;
    const [x, y] = this.toPixels(view, point);
    const shown = Math.sqrt(radius * radius - off * off) * scale;
    for (const [color, width] of [["rgba(0,0,0,.45)", 3.5], [mark.color, 2]]) {
      context.strokeStyle = color;
      context.lineWidth = width * ratio;
      context.setLineDash(mark.dotted ? [2 * ratio, 3 * ratio] : mark.dashed ? [6 * ratio, 4 * ratio] : []);
      context.beginPath();
      context.arc(x, y, Math.max(shown, 2 * ratio), 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
  }

  drawBar(context, width, height, scale, ratio) {
    const perNm = (scale * 10) / this.run.spacing;
    const length = [5, 10, 20, 50, 100, 200, 500].find((nm) => nm * perNm > 60 * ratio) ?? 500;
    const [x, y] = [14 * ratio, height - 16 * ratio];
    context.fillStyle = "rgba(0,0,0,.55)";
    context.fillRect(x - 6 * ratio, y - 20 * ratio, length * perNm + 12 * ratio, 28 * ratio);
    context.fillStyle = "#fff";
    context.fillRect(x, y, length * perNm, 3 * ratio);
    context.font = `${12 * ratio}px system-ui`;
    context.fillText(`${length} nm`, x, y - 5 * ratio);
  }
}

const clamp = (value) => Math.min(100, Math.max(5, value));
