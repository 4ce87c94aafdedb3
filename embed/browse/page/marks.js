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
  for (const { run, xyz: [x, y, z], verdict } of state?.judged ?? []) { // thousands, of thousands of finds: nothing is made anew
    let [nearest, least] = [null, state.radius / 2];
    for (let k = 0; k < finds.length; k++) {
      const { run: own, xyz } = finds[k];
      if (own !== run || Math.abs(xyz[0] - x) > least) continue;
      const apart = Math.hypot(xyz[0] - x, xyz[1] - y, xyz[2] - z);
      if (apart <= least) [nearest, least] = [k, apart];
    }
    if (nearest !== null) verdicts.set(nearest, verdict);
  }
  return verdicts;
}
