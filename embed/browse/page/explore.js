// What is there before anything is known: the map, its groups, what was caught of it, and a search for that.

import { $, address, ask, load, make } from "./api.js";
import { Finds } from "./finds.js";
import { PlaceMap, colorsOf } from "./map.js";

const FEW = 0.25; // share of the places in groups; where particles look alike, most are

export class Explore {
  // goTo: shows a place in the planes; onChange: marks may differ now; onCaught: takes an object with its new examples.
  constructor(project, { attempt, goTo, onChange, onCaught }) {
    Object.assign(this, { settings: project.explore, radii: project.radii, attempt, goTo, onChange });
    this.places = [];
    this.groups = []; // numbers of places, the most typical first
    this.caught = []; // numbers of places
    this.chosen = null; // number of a place
    this.map = new PlaceMap($("map"), {
      onLasso: (numbers, add) => this.catch(numbers, add), onPick: (number) => this.pick(number), tell: told,
    });
    this.gallery = new Finds({ box: $("caught-cards"), onChoose: (card) => this.choose(card.number) });
    $("map-least").value = this.settings.min_members;
    $("catch-radius").value = this.settings.radius;
    $("map-draw").addEventListener("click", () => this.draw());
    $("catch-radius").addEventListener("change", () => this.resize());
    $("catch-name").addEventListener("input", () => {
      const radius = this.radii[$("catch-name").value];
      if (!radius) return;
      $("catch-radius").value = radius;
      this.resize();
    });
    $("catch-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const object = $("catch-name").value.trim();
      const answer = await attempt(() => ask("catch", { object, radius: this.radius, places: this.caught }));
      if (answer) await onCaught(answer);
    });
  }

  get radius() {
    return Number($("catch-radius").value) || this.settings.radius;
  }

  async draw() {
    const button = $("map-draw");
    button.disabled = true;
    button.textContent = "Drawing…";
    const begun = Date.now();
    const ticking = setInterval(() => { button.textContent = `Drawing, ${Math.round((Date.now() - begun) / 1000)} s…`; }, 1000);
    const answer = await this.attempt(() => ask("explore", { min_members: Number($("map-least").value) }));
    clearInterval(ticking);
    button.textContent = "Draw the map";
    button.disabled = false;
    if (!answer) return;
    ({ places: this.places, groups: this.groups } = answer);
    $("map-cost").hidden = true;
    $("map-shown").hidden = false;
    this.drawGroups();
    this.map.show(this.places);
    this.catch([]);
  }

  drawGroups() {
    this.buttons = this.groups.map((members, group) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = `light-dark(${colorsOf(group)})`;
      const button = make("button", { type: "button", "aria-pressed": false }, swatch,
        make("img", { src: this.picture(members[0]), alt: "", loading: "lazy" }),
        make("span", { text: `Group ${group + 1}` }, make("span", { class: "told", text: count(members.length) })));
      button.addEventListener("click", (event) => this.catch(members, event.shiftKey));
      return button;
    });
    const stray = this.places.filter((place) => place.group === null).length;
    const rest = stray ? [make("li", { class: "keys", text: `${count(stray)} in no group` })] : [];
    const grouped = 1 - stray / this.places.length;
    $("map-doubt").textContent = grouped < FEW
      ? `Only ${Math.round(100 * grouped)} % of the places are in groups: this may be texture, not particles. Look before you name.` : "";
    $("groups").replaceChildren(...this.buttons.map((button) => make("li", {}, button)), ...rest);
  }

  picture(number) {
    const { run, xyz: [x, y, z] } = this.places[number];
    return address("crop", { run, x, y, z, radius: this.radius });
  }

  // Pictures and circles are as large as the radius asks for.
  resize() {
    this.groups.forEach((members, group) => { this.buttons[group].querySelector("img").src = this.picture(members[0]); });
    this.showCaught();
  }

  catch(found, add = false) {
    const caught = new Set(add ? [...this.caught, ...found] : found);
    const numbers = this.caught = [...caught];
    this.buttons.forEach((button, group) => {
      button.setAttribute("aria-pressed", this.groups[group].every((number) => caught.has(number)));
    });
    $("caught-title").textContent = numbers.length ? `${count(numbers.length)} caught` : "Nothing caught yet";
    $("catch-told").textContent = this.advice();
    $("catch").disabled = !numbers.length;
    this.chosen = numbers[0] ?? null;
    this.showCaught();
  }

  // What comes of those caught.
  advice() {
    const [number, most] = [this.caught.length, this.settings.most_examples];
    if (!number) return "Catch some dots first, or choose a group.";
    const groups = new Set(this.caught.map((each) => this.places[each].group).filter((group) => group !== null)).size;
    const become = number > most ? `The ${most} most alike of them become examples` : "They become examples";
    return `${become}; U takes them back.${groups > 1 ? ` They are of ${groups} groups: one kind at a time is found best.` : ""}`;
  }

  showCaught() {
    const cards = this.caught.map((number) => ({ ...this.places[number], number, told: told(this.places[number]) }));
    this.gallery.show(cards, new Map(), null, this.radius, true);
    if (this.chosen === null) this.choose(null);
    else this.pick(this.chosen);
  }

  pick(number) {
    const at = this.caught.indexOf(number);
    this.gallery.choose(at >= 0 ? at : null);
    if (at < 0) this.choose(number);
  }

  // Shows a place on the map and in the planes; null: none.
  choose(number) {
    this.chosen = number;
    this.map.mark(this.caught, number);
    if (number === null) this.onChange();
    else this.goTo(this.places[number]);
  }

  // Circles for the planes of a run: of what was caught, else of all that are in groups.
  marks(run) {
    const caught = new Set(this.caught);
    const wanted = (number) => number === this.chosen || (caught.size ? caught.has(number) : this.places[number].group !== null);
    return this.places.flatMap(({ run: own, xyz, group }, number) => (own !== run || !wanted(number) ? [] : [{
      xyz, radius: this.radius, color: colorsOf(group)[1], dashed: number === this.chosen,
    }]));
  }
}

const count = (number) => `${number} ${number === 1 ? "place" : "places"}`;
const told = ({ run, group }) => `${run}, ${group === null ? "in no group" : `group ${group + 1}`}`;
