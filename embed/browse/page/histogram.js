// Scores of the finds, what was said of them, and a threshold to drag.

import { $ } from "./api.js";

export class Histogram {
  constructor(onThreshold) {
    this.canvas = $("histogram");
    this.outlook = null;
    const slider = $("threshold");
    slider.addEventListener("input", () => this.tell(Number(slider.value)));
    slider.addEventListener("change", () => onThreshold(Number(slider.value)));
    const drag = (event) => {
      if (!this.outlook || !(event.buttons & 1)) return;
      const box = this.canvas.getBoundingClientRect();
      const { edges } = this.outlook;
      slider.value = edges[0] + ((event.clientX - box.left) / box.width) * (edges.at(-1) - edges[0]);
      this.tell(Number(slider.value));
    };
    this.canvas.addEventListener("pointerdown", (event) => { this.canvas.setPointerCapture(event.pointerId); drag(event); });
    this.canvas.addEventListener("pointermove", drag);
    this.canvas.addEventListener("pointerup", () => onThreshold(Number(slider.value)));
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.01, ArrowRight: 0.01 }[event.key];
      if (!step) return;
      event.preventDefault();
      slider.value = Number(slider.value) + step;
      this.tell(Number(slider.value));
      onThreshold(Number(slider.value));
    });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  show(outlook) {
    this.outlook = outlook;
    const slider = $("threshold");
    slider.min = outlook.edges[0];
    slider.max = outlook.edges.at(-1);
    slider.value = outlook.threshold;
    $("threshold-told").textContent = outlook.threshold.toFixed(2);
    const percent = (value) => `${Math.round(100 * value)} %`;
    const between = ([low, high]) => `${Math.round(100 * low)} to ${Math.round(100 * high)} %`;
    const more = outlook.judgements_for_5_percent;
    const hint = more === 0 ? "You know it to within 5 % either way."
      : more === null ? "More than 60 judgements of the most useful finds would tell it to within 5 %."
        : `About ${more} more judgements of the most useful finds tell it to within 5 % either way.`;
    $("expect").replaceChildren(
      line(`${outlook.num_picks} finds kept, `, percent(outlook.precision), " of them right"),
      line(`(${between(outlook.precision_interval)}); `, percent(outlook.recall), ` of all found (${between(outlook.recall_interval)}).`),
      line(`${outlook.num_judged} judged. ${hint}`),
    );
    this.threshold = outlook.threshold;
    this.draw();
  }

  // While the threshold is dragged: what is expected there, without the interval.
  tell(threshold) {
    const { edges, precision_at: precision, recall_at: recall } = this.outlook;
    const k = Math.min(edges.length - 1, Math.max(0, Math.round(((threshold - edges[0]) / (edges.at(-1) - edges[0])) * (edges.length - 1))));
    $("threshold-told").textContent = threshold.toFixed(2)
      + (precision[k] === null ? "" : `: ${Math.round(100 * precision[k])} % right, ${Math.round(100 * recall[k])} % found`);
    this.threshold = threshold;
    this.draw();
  }

  draw() {
    if (!this.outlook) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth * ratio, this.canvas.clientHeight * ratio];
    Object.assign(this.canvas, { width, height });
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name);
    const context = this.canvas.getContext("2d");
    const probe = document.createElement("span");
    document.body.append(probe);
    const resolved = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const [quiet, right, wrong, accent] = ["--line", "--right", "--wrong", "--accent"].map((name) => color(name) && resolved(name));
    const ink = resolved("--quiet");
    probe.remove();
    const { edges, counts, counts_right: good, counts_wrong: bad } = this.outlook;
    const top = Math.log1p(Math.max(1, ...counts));
    const bar = width / counts.length;
    const draw = (k, from, count, fill) => {
      const [low, high] = [Math.log1p(from), Math.log1p(from + count)].map((v) => (v / top) * (height - 18 * ratio));
      context.fillStyle = fill;
      context.fillRect(k * bar + 0.5, height - 14 * ratio - high, bar - 1, high - low);
    };
    counts.forEach((count, k) => {
      draw(k, 0, count, quiet);
      draw(k, 0, good[k] + bad[k], wrong);
      draw(k, 0, good[k], right);
    });
    const x = ((this.threshold - edges[0]) / (edges.at(-1) - edges[0])) * width;
    context.fillStyle = accent;
    context.fillRect(x - ratio, 0, 2 * ratio, height - 14 * ratio);
    context.fillStyle = ink;
    context.font = `${11 * ratio}px system-ui`;
    context.fillText(edges[0].toFixed(1), 0, height - 2 * ratio);
    const last = edges.at(-1).toFixed(1);
    context.fillText(last, width - context.measureText(last).width, height - 2 * ratio);
    const label = "score";
    context.fillText(label, (width - context.measureText(label).width) / 2, height - 2 * ratio);
  }
}

function line(before, strong, after = "") {
  const element = document.createElement("div");
  element.append(before);
  if (after) {
    const bold = document.createElement("b");
    bold.textContent = strong;
    element.append(bold, after);
  }
  return element;
}
