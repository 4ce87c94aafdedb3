// Circles on the planes, and which find a judgement belongs to.

export const COLORS = { example: "#4ea3ff", negative: "#ff7a3c", right: "#2fd08a", wrong: "#ff7a3c", find: "#ffd24a" };

// Finds of a run that are kept, judged or chosen, the points that the object is known by, and where an example would lie.
export function marksOf(run, { finds, state, threshold, chosen, offered }) {
  const marks = [];
  const radius = state?.radius ?? 75;
  const here = (point) => point.run === run;
  const verdicts = verdictsOf(finds, state);
  finds.forEach((find, k) => {
    const verdict = verdicts.get(k);
    if (!here(find) || (verdict === undefined && find.score < threshold && k !== chosen)) return;
    marks.push({ xyz: find.xyz, radius, color: COLORS[verdict] ?? COLORS.find, dashed: k === chosen });
  });
  for (const kind of ["example", "negative"]) {
    for (const point of (state?.[`${kind}s`] ?? []).filter(here)) {
      marks.push({ xyz: [...point.xyz], radius: radius * 1.15, color: COLORS[kind], dashed: true, number: point.number });
    }
  }
  if (offered && here(offered)) marks.push({ xyz: offered.xyz, radius, color: COLORS.example, dotted: true });
  return marks;
}

// Judgements belong to places; a find has that of a place within half a radius.
export function verdictsOf(finds, state) {
  const verdicts = new Map();
  for (const point of state?.judged ?? []) {
    let best = [state.radius / 2, null];
    finds.forEach((find, k) => {
      if (find.run !== point.run) return;
      const apart = Math.hypot(...find.xyz.map((value, axis) => value - point.xyz[axis]));
      if (apart <= best[0]) best = [apart, k];
    });
    if (best[1] !== null) verdicts.set(best[1], point.verdict);
  }
  return verdicts;
}
