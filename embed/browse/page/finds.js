// A gallery of finds or of places: three planes of each, and what was said of it.

import { address, load, make } from "./api.js";

const WIDTH = 306; // pixels of a card

export class Finds {
  // box: element of the cards; order: element that chooses their order, or null; onJudge: null where nothing is judged.
  constructor({ box, order = null, onChoose, onJudge = null }) {
    Object.assign(this, { box, onChoose, onJudge });
    this.ordering = order;
    this.finds = [];
    this.order = [];
    this.chosen = null; // number of a find
    this.cards = new Map();
    this.spacer = make("div");
    this.spacer.style.height = "1px";
    this.box.addEventListener("scroll", () => this.draw());
    this.box.addEventListener("wheel", (event) => {
      if (event.deltaY && !event.shiftKey) { event.preventDefault(); this.box.scrollLeft += event.deltaY; }
    }, { passive: false });
    new ResizeObserver(() => this.draw()).observe(this.box);
    this.ordering?.addEventListener("change", () => this.reorder(true));
  }

  // finds: {run, xyz, score, probability}, or {run, xyz, told} of places; verdicts: by number; telling: numbers, the most useful to judge first.
  show(finds, verdicts, outlook, radius, fresh) {
    Object.assign(this, { finds, verdicts, outlook, radius });
    if (fresh) { this.cards.clear(); this.chosen = null; }
    this.reorder(fresh);
  }

  reorder(restart) {
    const all = this.finds.map((_, k) => k);
    const order = this.ordering?.value ?? "best";
    if (order === "best") this.order = all;
    if (order === "unjudged") this.order = all.filter((k) => !this.verdicts.has(k) || k === this.chosen);
    if (order === "unsure") {
      const telling = (this.outlook?.most_telling ?? []).filter((k) => k < this.finds.length);
      const first = this.chosen !== null && !restart && this.verdicts.has(this.chosen) ? [this.chosen] : [];
      this.order = [...first, ...telling.filter((k) => k !== first[0])];
    }
    if (restart) { this.chosen = this.order[0] ?? null; this.box.scrollLeft = 0; }
    this.draw();
  }

  choose(number, scroll = true) {
    this.chosen = number;
    const at = this.order.indexOf(number);
    if (scroll && at >= 0) {
      const left = at * WIDTH;
      if (left < this.box.scrollLeft || left + WIDTH > this.box.scrollLeft + this.box.clientWidth) {
        this.box.scrollLeft = left - this.box.clientWidth / 3;
      }
    }
    this.draw();
    if (number !== null && this.finds[number]) this.onChoose(this.finds[number]);
  }

  step(count) {
    if (!this.order.length) return;
    const at = this.order.indexOf(this.chosen);
    this.choose(this.order[Math.min(this.order.length - 1, Math.max(0, at + count))]);
  }

  // The next one that nobody has judged, in the present order.
  next() {
    const at = this.order.indexOf(this.chosen);
    const later = [...this.order.slice(at + 1), ...this.order.slice(0, Math.max(0, at))];
    const open = later.find((k) => !this.verdicts.has(k));
    if (open !== undefined) this.choose(open);
  }

  draw() {
    this.spacer.style.width = `${this.order.length * WIDTH}px`;
    const first = Math.max(0, Math.floor(this.box.scrollLeft / WIDTH) - 1);
    const last = Math.min(this.order.length, Math.ceil((this.box.scrollLeft + this.box.clientWidth) / WIDTH) + 1);
    const shown = [];
    for (let k = first; k < last; k++) {
      const card = this.card(this.order[k]);
      card.style.left = `${k * WIDTH}px`;
      shown.push(card);
    }
    this.box.replaceChildren(this.spacer, ...shown);
  }

  card(number) {
    const find = this.finds[number];
    let card = this.cards.get(number);
    if (!card) {
      const [x, y, z] = find.xyz;
      const buttons = make("div", { class: "buttons" });
      for (const [verdict, text] of this.onJudge ? [["right", "Right"], ["wrong", "Wrong"], ["unsure", "Cannot tell"]] : []) {
        const button = make("button", { type: "button", text, tabindex: -1 });
        button.addEventListener("click", (event) => { event.stopPropagation(); this.choose(number, false); this.onJudge(verdict); });
        buttons.append(button);
      }
      card = make("div", { class: "card", role: "option" },
        load(make("img", { alt: "", width: 288, height: 96 }), address("crop", { run: find.run, x, y, z, radius: this.radius })),
        make("div", { class: "told" }, make("span"), make("span", { class: "verdict" })), buttons);
      card.querySelector("img").addEventListener("error", () => this.cards.delete(number)); // asked for again when in sight
      card.addEventListener("click", () => this.choose(number, false));
      this.cards.set(number, card);
      if (this.cards.size > 400) this.cards.delete(this.cards.keys().next().value);
    }
    const verdict = this.verdicts.get(number);
    const promised = this.outlook && !this.outlook.doubts.length ? `, likely ${Math.round(100 * find.probability)} %` : "";
    const [told, said] = card.querySelectorAll(".told span");
    told.textContent = find.told ?? `${find.run}  ${find.score.toFixed(2)}${verdict ? "" : promised}`;
    said.textContent = { right: "right", wrong: "wrong", unsure: "cannot tell" }[verdict] ?? "";
    card.className = ["card", verdict ?? "", number === this.chosen ? "chosen" : "",
      this.outlook && find.score < this.outlook.threshold ? "below" : ""].join(" ");
    card.setAttribute("aria-selected", number === this.chosen);
    return card;
  }
}
