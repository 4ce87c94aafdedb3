// Tabs: a click, or the arrow keys on the row of them, shows one panel and hides the others.

import { $ } from "./api.js";

export class Tabs {
  constructor(list, onShow) {
    this.tabs = [...list.querySelectorAll("[role=tab]")];
    this.onShow = onShow;
    for (const tab of this.tabs) tab.addEventListener("click", () => this.show(tab.getAttribute("aria-controls")));
    list.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation(); // the arrows also step through the gallery
      const next = this.tabs[(this.tabs.findIndex((tab) => tab === event.target) + step + this.tabs.length) % this.tabs.length];
      this.show(next.getAttribute("aria-controls"));
      next.focus();
    });
  }

  get shown() {
    return this.tabs.find((tab) => tab.getAttribute("aria-selected") === "true").getAttribute("aria-controls");
  }

  show(name) {
    for (const tab of this.tabs) {
      const chosen = tab.getAttribute("aria-controls") === name;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      $(tab.getAttribute("aria-controls")).hidden = !chosen;
    }
    this.onShow(name);
  }
}
