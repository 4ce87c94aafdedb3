// The list of tomograms: only those in sight are in the page, however many there are.

import { $, address, load, make } from "./api.js";

const ROW = 56; // pixels

export class Runs {
  constructor(runs, onChoose) {
    this.runs = runs;
    this.onChoose = onChoose;
    this.chosen = null;
    this.counts = {};
    this.box = $("run-list");
    this.spacer = make("div", { class: "spacer" });
    this.box.append(this.spacer);
    this.box.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.box);
    $("filter").addEventListener("input", () => { this.box.scrollTop = 0; this.draw(); });
    this.box.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const shown = this.shown();
      const at = shown.findIndex((run) => run.name === this.chosen);
      const next = shown[Math.min(shown.length - 1, Math.max(0, at + step))];
      if (next) this.onChoose(next.name);
    });
  }

  shown() {
    const wanted = $("filter").value.toLowerCase();
    return this.runs.filter((run) => run.name.toLowerCase().includes(wanted));
  }

  choose(name) {
    this.chosen = name;
    const at = this.shown().findIndex((run) => run.name === name);
    if (at >= 0) {
      const top = at * ROW;
      if (top < this.box.scrollTop || top + ROW > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top;
    }
    this.draw();
  }

  draw() {
    const shown = this.shown();
    this.spacer.style.height = `${shown.length * ROW}px`;
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 2);
    const last = Math.min(shown.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + 2);
    const rows = [];
    for (let k = first; k < last; k++) {
      const { name } = shown[k];
      const known = this.rows?.get(name);
      const count = this.counts[name];
      const row = known ?? make("div", { class: "run", role: "option", title: name },
        load(make("img", { alt: "" }), address("thumbnail", { run: name })), make("span"));
      if (!known) row.addEventListener("click", () => this.onChoose(name));
      row.lastChild.textContent = count === undefined ? name : `${name} (${count})`;
      row.style.top = `${k * ROW}px`;
      row.classList.toggle("chosen", name === this.chosen);
      row.setAttribute("aria-selected", name === this.chosen);
      rows.push([name, row]);
    }
    this.rows = new Map(rows);
    this.box.replaceChildren(this.spacer, ...this.rows.values());
  }
}
