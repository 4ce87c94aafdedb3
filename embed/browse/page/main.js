// One object at a time: click examples, search, judge, save. The server keeps everything; this page shows it.

import { $, address, ask, make } from "./api.js";
import { Explore } from "./explore.js";
import { Finds } from "./finds.js";
import { Histogram } from "./histogram.js";
import { Layers } from "./layers.js";
import { COLORS, marksOf, verdictsOf } from "./marks.js";
import { Planes } from "./planes.js";
import { Runs } from "./runs.js";
import { Tabs } from "./tabs.js";
import { Training } from "./training.js";

const POLL = 4000; // milliseconds between looks at what another tab has done

const project = await ask("project").catch((error) => { say(error.message); throw error; });
const byName = new Map(project.runs.map((run) => [run.name, run]));
let state = null; // of the object at work
let finds = [];
let outlook = null;
let offered = null; // {run, xyz}: where an example would lie after the latest click

const planes = new Planes({ onMove: tellWhere, onClick: offer, onDrag: (mark) => act({ do: "move", of: mark.number, xyz: mark.xyz }) });
const layers = new Layers(project.radii, drawMarks);
const runs = new Runs(project.runs, (name) => openRun(name));
const gallery = new Finds({ box: $("cards"), order: $("order"), onChoose: (find) => showFind(find), onJudge: judge });
const histogram = new Histogram((threshold) => refresh({ threshold }));
const training = new Training({ attempt, onFinds: (answer) => take(answer, true) });
const explore = new Explore(project, { attempt, goTo: showFind, onChange: drawMarks, onCaught: searchCaught });
const tabs = new Tabs(document.querySelector("[role=tablist]"), (name) => {
  $("gallery").hidden = name !== "find";
  $("caught").hidden = name !== "explore";
  say("");
  drawMarks();
});

function say(text) {
  $("message").textContent = text;
}

async function attempt(work) {
  say("");
  try { return await work(); } catch (error) { say(error.message); return null; }
}

async function openRun(name, xyz = null) {
  const run = byName.get(name);
  if (!run) return;
  if (planes.run !== run) {
    planes.open(run);
    runs.choose(name);
    layers.open(name);
  }
  if (xyz) planes.go(xyz);
  tellWhere();
  drawMarks();
}

function showFind(find) {
  openRun(find.run, find.xyz);
}

function tellWhere() {
  if (!planes.run) return;
  const told = ([x, y, z]) => `x ${x.toFixed(0)}, y ${y.toFixed(0)}, z ${z.toFixed(0)} Å`;
  const under = planes.under && ["x", "y", "z"].map((axis) => planes.under[axis] * planes.run.spacing);
  $("where").replaceChildren(make("div", { text: `${planes.run.name}: ${told(planes.xyz)}` }),
    make("div", { text: under ? `mouse: ${told(under)}` : "" }));
}

function drawMarks() {
  if (!planes.run) return;
  const { name } = planes.run;
  const known = { finds, state, threshold: outlook?.threshold ?? 0, chosen: gallery.chosen, offered };
  planes.marks = [...layers.marks, ...(tabs.shown === "explore" ? explore.marks(name) : marksOf(name, known))];
  planes.draw();
}

function take(answer, fresh = false) {
  if (!answer) return;
  if (answer.finds) ({ finds, outlook } = answer);
  state = answer;
  $("steps").hidden = false;
  $("welcome").hidden = true;
  $("object-title").textContent = state.object;
  $("radius").value = state.radius;
  if (document.activeElement !== $("structure")) $("structure").value = state.structure ?? "";
  $("search").disabled = !state.examples.length && !state.structure && !state.judged.some((each) => each.verdict === "right");
  drawPoints();
  $("result").hidden = !outlook;
  if (outlook) {
    histogram.show(outlook);
    $("doubts").textContent = outlook.doubts.length ? `Nothing is promised: ${outlook.doubts.join("; ")}. Judge some finds to know.` : "";
  }
  gallery.show(finds, verdictsOf(finds, state), outlook, state.radius, fresh);
  drawHeat();
  $("gallery-title").textContent = outlook ? `${outlook.num_finds} finds of ${state.trained ? "the trained picker" : state.object}` : "Finds";
  if (outlook) {
    const counts = {};
    for (const find of finds) if (find.score >= outlook.threshold) counts[find.run] = (counts[find.run] ?? 0) + 1;
    runs.counts = counts;
    runs.draw();
  }
  if (fresh && gallery.chosen !== null) gallery.choose(gallery.chosen);
  drawMarks();
}

function drawPoints() {
  const rows = [];
  for (const [kind, word] of [["example", "example"], ["negative", "not one"]]) {
    for (const point of state[`${kind}s`]) {
      const name = make("span", { text: `${word}: ${point.run}, ${point.xyz.map((v) => v.toFixed(0)).join(" ")} Å` });
      name.style.color = COLORS[kind];
      name.addEventListener("click", () => openRun(point.run, point.xyz));
      const drop = make("button", { type: "button", class: "quiet", text: "remove", "aria-label": `remove ${word}` });
      drop.addEventListener("click", () => act({ do: "remove", of: point.number }));
      rows.push(make("li", {}, name, drop));
    }
  }
  $("points").replaceChildren(...(rows.length ? rows : [make("li", { class: "keys", text: "Go to a particle, press E." })]));
}

async function act(what) {
  if (!state) return say("Name what you look for first.");
  await attempt(async () => {
    await takeOf(state.object, ask("act", { object: state.object, act: what }));
    if (outlook && (what.do === "judge" || what.do === "undo")) await refresh({});
  });
}

async function refresh(more) {
  if (state) await attempt(() => takeOf(state.object, ask("finds", { object: state.object, ...more })));
}

// An answer about an object that is no longer at work comes too late.
async function takeOf(object, asked) {
  const answer = await asked;
  if (state.object === object) take(answer);
}

// Show where an example would lie, before it is taken; with Shift, a click says that it is none.
async function offer(xyz, isNone) {
  if (!state || tabs.shown !== "find") return;
  if (isNone) return void addPoint("negative");
  const { name } = planes.run;
  const snapped = await ask("snap", { object: state.object, run: name, xyz }, true).catch(() => null);
  if (!snapped || planes.xyz.some((value, axis) => Math.abs(value - xyz[axis]) > 1)) return; // elsewhere by now
  offered = { run: name, xyz: snapped.xyz };
  drawMarks();
}

async function addPoint(kind) {
  if (!state) return say("Name what you look for first.");
  if (!planes.run) return say("Choose a tomogram first.");
  const [run, xyz] = [planes.run.name, planes.xyz];
  const snapped = kind === "example" ? await attempt(() => ask("snap", { object: state.object, run, xyz })) : { xyz };
  if (!snapped) return;
  offered = null;
  planes.go(snapped.xyz, false);
  await act({ do: kind, run, xyz: snapped.xyz });
}

async function judge(verdict) {
  const find = finds[gallery.chosen];
  if (!find) return;
  const now = gallery.chosen;
  await act({ do: "judge", run: find.run, xyz: find.xyz, verdict });
  if (gallery.chosen === now) gallery.next();
}

$("object-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("object").value.trim();
  await attempt(async () => {
    [finds, outlook, offered] = [[], null, null];
    $("saved").textContent = "";
    let answer = await ask("finds", { object: name });
    const radius = Number($("radius").value);
    if (!answer.version && radius !== answer.radius) answer = await ask("act", { object: name, act: { do: "radius", radius } });
    take({ finds: answer.finds ?? [], outlook: answer.outlook ?? null, ...answer }, Boolean(answer.outlook));
    training.look(name);
    $("xy").focus();
  });
});
$("object").addEventListener("input", () => {
  const radius = project.radii[$("object").value];
  if (radius) $("radius").value = radius;
});
$("radius").addEventListener("change", () => state?.object === $("object").value.trim() && act({ do: "radius", radius: Number($("radius").value) }));
$("structure").addEventListener("change", () => act({ do: "structure", structure: $("structure").value.trim() || null }));
$("search").addEventListener("click", search);
async function search() {
  $("search").disabled = true;
  $("search").textContent = state.structure ? "Searching, a minute with a structure…" : "Searching…";
  const answer = await attempt(() => ask("search", { object: state.object }));
  $("search").textContent = "Search";
  $("search").disabled = false;
  take(answer, true);
}
// What was caught on the map is known by examples now; it is searched for like any object.
async function searchCaught(answer) {
  tabs.show("find");
  $("object").value = answer.object;
  take({ finds: [], outlook: null, ...answer });
  training.look(answer.object);
  await search();
}
$("accept").addEventListener("click", async () => {
  take(await attempt(() => ask("accept", { object: state.object })));
});
let refused = null; // the object whose picks somebody else has changed: who saves it again replaces them
$("save").addEventListener("click", async () => {
  const { object } = state;
  const saved = await attempt(() => ask("save", { object, over_changes: refused === object }).catch((error) => {
    refused = error.kind === "ChangedElsewhere" ? object : null;
    throw error;
  }));
  if (saved) refused = null;
  $("saved").textContent = saved
    ? `${saved.picks} picks saved${saved.user ? ` as ${saved.user}/${saved.session}` : ""}; ${saved.files.join(", ")}` : "";
  if (saved) training.look(state.object, true);
});
$("heat").addEventListener("change", () => { drawHeat(); $("xy").focus(); });
$("mean").addEventListener("input", () => { planes.mean = Number($("mean").value); tellMean(); planes.draw(); });
for (const key of ["contrast", "brightness"]) {
  $(key).addEventListener("input", () => { planes.window[key] = Number($(key).value); planes.draw(); });
}
function drawHeat() {
  $("heat-label").hidden = !state?.searches;
  planes.heat = state?.searches && $("heat").checked ? { object: state.object, search: state.searches } : null;
  planes.draw();
}

function tellMean() { $("mean-told").textContent = ` ${$("mean").value} planes`; }

const judging = {
  e: () => addPoint("example"), n: () => addPoint("negative"), u: () => act({ do: "undo" }),
  a: () => judge("right"), r: () => judge("wrong"), s: () => judge("unsure"),
};
document.addEventListener("keydown", (event) => {
  const typing = /^(text|search|number)$/.test(event.target.type ?? "") || event.target.tagName === "SELECT";
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const onPlane = event.target.tagName === "CANVAS";
  const exploring = tabs.shown === "explore";
  const shown = exploring ? explore.gallery : gallery;
  const keys = {
    ...judging, ...(onPlane ? {} : { ArrowLeft: () => shown.step(-1), ArrowRight: () => shown.step(1) }),
  };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const work = exploring && judging[key] ? () => say("This key works under Find.") : keys[key];
  if (!work) return;
  event.preventDefault();
  work();
});

setInterval(async () => {
  if (!state || document.hidden) return;
  const now = await ask("state", { object: state.object }, true).catch(() => null);
  if (now && now.version !== state.version && now.object === state.object) outlook ? refresh({}) : take(now);
}, POLL);

for (const name of [...new Set([...project.objects, ...Object.keys(project.radii)])]) $("objects").append(make("option", { value: name }));
for (const name of project.structures) $("structures").append(make("option", { value: name }));
tellMean();
if (project.runs.length) openRun(project.runs[0].name);
document.body.dataset.ready = "yes";
