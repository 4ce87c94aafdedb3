// A picker trained on the picks that were saved: start, watch, stop, and fetch what it finds.

import { $, ask } from "./api.js";

const POLL = 3000; // milliseconds

export class Training {
  // attempt: does something and tells what went wrong; onFinds: the finds of the picker.
  constructor({ attempt, onFinds }) {
    Object.assign(this, { attempt, onFinds });
    this.object = null;
    this.timer = null;
    this.running = false;
    $("train").addEventListener("click", () => this.send("train"));
    $("stop-training").addEventListener("click", () => {
      $("stop-training").disabled = true;
      $("training-told").textContent = "Stopping…";
      this.stopping = true;
      this.send("stop_training");
    });
    $("show-trained").addEventListener("click", async () => {
      const finds = await attempt(() => ask("trained_finds", { object: this.object }));
      if (finds) onFinds(finds);
    });
  }

  // Ask how it stands, now and as long as it runs.
  async look(object = this.object, saved = false) {
    if (object !== this.object) $("training").hidden = true;
    this.object = object;
    clearTimeout(this.timer);
    try {
      const status = await ask("training", { object }, true);
      if (object === this.object) this.show(status, saved); // and not another one by now
    } catch (error) {
      if (object !== this.object) return;
      $("training-told").textContent = error.message;
      if (this.running) this.again(); // the server may come back
    }
  }

  again() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), POLL);
  }

  async send(what) {
    const { object } = this;
    $("train").disabled = true;
    const status = await this.attempt(() => ask(what, { object }));
    $("train").disabled = false;
    if (object !== this.object) return;
    if (status) this.show(status);
    else this.look();
  }

  show(status, saved = false) {
    // What was stopped or failed with other picks or settings is of no interest any more.
    if (status.changed && status.state !== "done") status = { ...status, state: "none", log: [], error: undefined };
    const running = status.state === "running";
    this.running = running;
    if (running) this.again();
    else this.stopping = false;
    $("training").hidden = !saved && !running && status.state === "none" && !status.num_runs;
    $("training-about").textContent = about(status);
    const offer = { none: "Train a picker on these picks", stopped: "Go on", failed: "Try again",
      done: "Train again on the picks saved since" }[status.state];
    $("train").textContent = offer ?? "";
    $("train").hidden = Boolean(status.refused) || running || !status.num_runs || (status.state === "done" && !status.changed);
    $("training-run").hidden = !running;
    $("stop-training").disabled = Boolean(this.stopping);
    if (status.share) $("training-share").value = status.share;
    else $("training-share").removeAttribute("value");
    $("training-told").textContent = running && this.stopping ? "Stopping…" : told(status);
    $("training-told").classList.toggle("wrong", Boolean(status.error));
    $("show-trained").hidden = status.state !== "done";
    const said = $("training-said").querySelector("pre");
    const atEnd = said.scrollTop + said.clientHeight >= said.scrollHeight - 4;
    said.textContent = (status.log ?? []).join("\n");
    if (atEnd) said.scrollTop = said.scrollHeight;
    $("training-said").hidden = !status.log?.length;
    if (status.command) $("training-command").querySelector("code").textContent = status.command;
    $("training-command").hidden = !$("training-command").querySelector("code").textContent || Boolean(status.refused);
  }
}

function about({ refused, state, num_runs: runs, minutes }) {
  if (refused) return `Here ${refused}.`;
  if (state !== "none") return "";
  const long = minutes ? `It takes up to ${minutes} minutes, then goes through all tomograms.` : "It may take hours.";
  const single = runs === 1 ? " Picks in a second tomogram would tell how good it is." : "";
  return `It learns to find these particles by itself, in new tomograms too. ${long}${single}`;
}

function told({ state, doing, share, seconds, seconds_left: left, error }) {
  if (state === "failed") return error;
  if (state === "stopped") return "Stopped. It can go on from there.";
  if (state === "done") return error ? `Trained. ${error}` : "Trained.";
  if (state !== "running") return "";
  const work = doing === "searching" ? "Searching all tomograms" : "Training";
  if (!share) return `${work}, for ${clock(seconds)} so far.`;
  return `${work}: ${Math.round(100 * share)} %, ${left === null ? `${clock(seconds)} so far` : `about ${clock(left)} left`}.`;
}

function clock(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
