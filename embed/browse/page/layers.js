// Picks that the project holds of the present tomogram, by object, user and session: ticked ones are shown.

import { $, ask, make } from "./api.js";

const COLORS = ["#c792ea", "#7fdbca", "#f78c6c", "#addb67", "#82aaff", "#ff5874"];

export class Layers {
  // radii: Å, by object.
  constructor(radii, onChange) {
    Object.assign(this, { radii, onChange, layers: [], run: null });
  }

  async open(run) {
    [this.run, this.layers] = [run, []];
    const found = await ask("picks", { run }).catch(() => []);
    if (this.run !== run) return; // another one was opened meanwhile
    this.layers = found;
    this.draw();
  }

  draw() {
    const labels = this.layers.map((layer, k) => {
      const tick = make("input", { type: "checkbox" });
      tick.style.width = "auto";
      tick.addEventListener("change", () => { layer.shown = tick.checked; this.onChange(); });
      layer.color = COLORS[k % COLORS.length];
      const text = make("span", { text: ` ${layer.object} by ${layer.user}/${layer.session} (${layer.points.length})` });
      text.style.borderLeft = `4px solid ${layer.color}`;
      text.style.paddingLeft = "4px";
      return make("label", {}, tick, text);
    });
    const none = make("p", { class: "keys", text: "none in this tomogram" });
    $("layers").querySelector("div").replaceChildren(...(labels.length ? labels : [none]));
  }

  get marks() {
    return this.layers.filter((each) => each.shown).flatMap(({ object, points, color }) => (
      points.map((xyz) => ({ xyz, radius: this.radii[object] ?? 75, color }))));
  }
}
