// ---- The trade-off planes --------------------------------------------------------------------

const SHAPES = {
  o: "M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0z",
  s: "M-5.5,-5.5h11v11h-11z",
  "^": "M0,-7L6.5,5H-6.5z",
  v: "M0,7L6.5,-5H-6.5z",
  "<": "M-7,0L5,-6.5V6.5z",
  ">": "M7,0L-5,-6.5V6.5z",
  D: "M0,-7.5L7.5,0L0,7.5L-7.5,0z",
  P: "M-2.5,-7h5v4.5h4.5v5h-4.5v4.5h-5v-4.5h-4.5v-5h4.5z",
  X: "M-6,-3L-3,-6L0,-3L3,-6L6,-3L3,0L6,3L3,6L0,3L-3,6L-6,3L-3,0z",
  "*": "M0,-9L2.4,-3L8.6,-2.8L3.7,1.1L5.3,7.3L0,3.8L-5.3,7.3L-3.7,1.1L-8.6,-2.8L-2.4,-3z",
};
const SIDES = [
  { key: "harm", label: "Harmful score (%), left is safer", short: "Harmful", word: "harmful score" },
  { key: "refusal", label: "Over-refusal (%), left is more helpful", short: "Over-refusal", word: "over-refusal" },
];
const MANY = 8; // models; of more the list has no intervals
const POINT = "Point at a model for its numbers; a click on its name in the list keeps it in view.";
const plane = { lrm: data.lrms[0][0], seed: "mean", epochs: false, chosen: null };

const seedName = (seed, n) => (seed === "mean" ? (n > 1 ? `mean of ${n} seeds` : "one seed") : seed === "mean_ok" ? `mean of the ${n} seeds that trained` : seed === "hub" ? "ready-made" : `seed ${seed}`);

function drawPlane() {
  const points = data.points.filter((p) => p.lrm === plane.lrm &&
    (p.seed === plane.seed || (p.role !== "aligned" && p.seed === "hub" && plane.seed !== "mean")));
  const models = [...new Set(points.map((p) => p.model))].map((name) => {
    const mine = points.filter((p) => p.model === name);
    return { name, mine, last: mine.find((p) => p.final) || mine[mine.length - 1], style: data.styles[name] };
  });
  const sides = SIDES.filter(({ key }) => points.some((p) => p[key]));
  const place = document.getElementById("plane-plot");
  const room = place.clientWidth || 640;
  const beside = sides.length > 1 && room >= 640 ? 2 : 1;
  const width = Math.max(280, Math.min((room - 10 * (beside - 1)) / beside, 736));
  // Planes and guide end with the first screen.
  const left = innerHeight - place.getBoundingClientRect().top - scrollY - 125;
  const height = Math.round(Math.min(Math.max(left, 300), width * 1.1, 520));
  const frontier = { there: false };
  place.replaceChildren(...sides.map((side, k) => drawSide(side, models, width, height, k === 0 || beside === 1, frontier)));
  drawModels(models, frontier.there);
  choose(plane.chosen);
  for (const one of document.querySelectorAll("[data-lrm]")) one.hidden = one.dataset.lrm !== plane.lrm;
}

// The points of which no other that is drawn is as safe and as accurate, safest first.
function frontierOf(points) {
  return points.filter((p) => !points.some((q) => q.harm[0] <= p.harm[0] && q.accuracy[0] >= p.accuracy[0] &&
    (q.harm[0] < p.harm[0] || q.accuracy[0] > p.accuracy[0]))).sort((p, q) => p.harm[0] - q.harm[0]);
}

function drawSide({ key, label, word }, models, width, height, named, frontier) {
  const left = named ? 50 : 30, bottom = 44, top = 10, right = 12;
  const x = (v) => left + (v / 100) * (width - left - right);
  const y = (v) => height - bottom - (v / 100) * (height - bottom - top);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": `Reasoning accuracy against ${word}, a button for each model` });
  for (const tick of [0, 20, 40, 60, 80, 100]) {
    svg.append(
      element("line", { class: "grid", x1: x(tick), x2: x(tick), y1: y(0), y2: y(100) }),
      element("line", { class: "grid", x1: x(0), x2: x(100), y1: y(tick), y2: y(tick) }),
      element("text", { x: x(tick), y: y(0) + 16, "text-anchor": "middle" }, String(tick)),
      element("text", { x: x(0) - 7, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  svg.append(
    element("line", { class: "axis", x1: x(0), x2: x(100), y1: y(0), y2: y(0) }),
    element("line", { class: "axis", x1: x(0), x2: x(0), y1: y(0), y2: y(100) }),
    element("text", { class: "title", x: x(50), y: height - 8, "text-anchor": "middle" }, label));
  if (named) svg.append(element("text", { class: "title", transform: `translate(13,${y(50)}) rotate(-90)`, "text-anchor": "middle" }, "Reasoning accuracy (%)"));
  const drawn = models.map((model) => ({ ...model, stops: (plane.epochs ? model.mine : [model.last]).filter((p) => p[key]) }));
  if (key === "harm") {
    const best = frontierOf(drawn.flatMap(({ stops }) => stops).filter((p) => p.role !== "base"));
    frontier.there = new Set(best.map((p) => `${p.harm[0]} ${p.accuracy[0]}`)).size > 1;
    const path = best.map((p, k) => k ? `H${x(p.harm[0])}V${y(p.accuracy[0])}` : `M${x(p.harm[0])},${y(p.accuracy[0])}`).join("");
    if (frontier.there) svg.append(element("path", { class: "frontier", d: path }));
  }
  const start = drawn.find(({ last }) => last.role === "lrm")?.last;
  for (const { name, stops, last, style: [color, shape] } of drawn) {
    const group = element("g", { class: `mark ${color}`, "data-model": name });
    const at = (p) => [x(p[key][0]), y(p.accuracy[0])];
    if (start?.[key] && last.role === "aligned") {
      [start, ...stops].forEach((stop, k, all) => { if (k) arrow(group, ...at(all[k - 1]), ...at(stop)); });
    }
    for (const point of stops) {
      const [px, py] = at(point);
      const text = describe(point);
      group.append(
        ...(point[key][1] === null ? [] : [element("line", { x1: x(point[key][1]), x2: x(point[key][2]), y1: py, y2: py })]),
        ...(point.accuracy[1] === null ? [] : [element("line", { x1: px, x2: px, y1: y(point.accuracy[1]), y2: y(point.accuracy[2]) })]),
        element("path", { class: "point", d: SHAPES[shape], transform: `translate(${px},${py})${point === last ? "" : " scale(.6)"}`,
          tabindex: 0, role: "button", "aria-label": text, onmouseenter: () => point_at(name, text), onmouseleave: () => choose(plane.chosen), onfocus: () => point_at(name, text), onblur: () => choose(plane.chosen), onclick: () => point_at(name, text) },
          element("title", {}, text)));
    }
    svg.append(group);
  }
  return svg;
}

function arrow(group, x1, y1, x2, y2) {
  const length = Math.hypot(x2 - x1, y2 - y1);
  if (length < 14) return;
  const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
  const [ex, ey] = [x2 - ux * 9, y2 - uy * 9];
  group.append(
    element("line", { x1: x1 + ux * 9, y1: y1 + uy * 9, x2: ex, y2: ey, "stroke-width": 1.5 }),
    element("path", { stroke: "none", d: `M${ex},${ey}L${ex - ux * 8 - uy * 4},${ey - uy * 8 + ux * 4}L${ex - ux * 8 + uy * 4},${ey - uy * 8 - ux * 4}z` }));
}

// A measure: value, low, high; and as the tables write it, value and interval (or a dash).
const limits = (measure) => (measure[4] === "–" ? "" : measure[4]);

const STATUS = { failed: "training failed", missed: "missed its limits" };

function describe(p) {
  const range = (measure) => `${measure[3]} %${limits(measure) && ` (${limits(measure)})`}`;
  const epoch = p.role === "aligned" && p.epoch !== null ? `, epoch ${p.epoch}` : "";
  const failed = p.status === "ok" ? "" : `; ${STATUS[p.status]}: ${visible(p.reason)}`;
  const sides = SIDES.filter(({ key }) => p[key]).map(({ key, word }) => `, ${word} ${range(p[key])}`).join("");
  return `${visible(p.model)}${epoch}, ${seedName(p.seed, p.seeds)}: reasoning accuracy ${range(p.accuracy)}${sides}${failed}`;
}

function point_at(name, text) {
  highlight(name);
  document.getElementById("plane-detail").textContent = text;
}

function choose(name) {
  highlight(name);
  document.getElementById("plane-detail").textContent = name ? describe(data.points.find((p) => p.model === name && p.lrm === plane.lrm && p.final && (p.seed === plane.seed || p.seed === "hub"))) : POINT;
}

function highlight(name) {
  for (const group of document.querySelectorAll("#plane-plot g[data-model]")) group.classList.toggle("dim", name !== null && group.dataset.model !== name);
  for (const row of document.querySelectorAll("#plane-models tbody tr")) row.classList.toggle("chosen", row.dataset.model === name);
}

// The list of the models is the planes' legend, too.
function drawModels(models, frontier) {
  const columns = [{ key: "accuracy", short: "Reasoning" }, ...SIDES].filter(({ key }) => models.some(({ last }) => last[key]));
  const number = (value) => element("td", { class: "number" }, ...(value ? [value[3], ...(models.length > MANY || !limits(value) ? [] : [element("small", {}, limits(value).replace(" to ", "–"))])] : ["–"]));
  const row = ({ name, last, style: [color, shape] }) => element("tr", { "data-model": name, onmouseenter: () => point_at(name, describe(last)), onmouseleave: () => choose(plane.chosen) },
    element("th", { scope: "row" },
      element("svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true", class: `mark ${color}` }, element("path", { d: SHAPES[shape] })),
      element("button", { type: "button", "aria-pressed": String(plane.chosen === name), onclick: () => { plane.chosen = plane.chosen === name ? null : name; drawPlane(); document.querySelector(`#plane-models [data-model="${CSS.escape(name)}"] button`).focus(); } }, visible(name)),
      ...(last.status === "ok" ? [] : [element("small", {}, STATUS[last.status])])),
    ...columns.map(({ key }) => number(last[key])));
  const seeds = Math.max(...models.map(({ last }) => last.seeds));
  document.getElementById("plane-models").replaceChildren(
    element("table", {}, element("caption", {}, `Percent at the final epoch, ${seedName(plane.seed, seeds)}`),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Model"), ...columns.map(({ short }) => element("th", { scope: "col", class: "number" }, short)))),
      element("tbody", {}, ...models.map(row))),
    ...(frontier ? [element("p", { class: "frontier-note" }, "Dashed: no other model that is drawn, the base apart, is as safe and as accurate.")] : []));
}

function startPlane() {
  const controls = document.getElementById("plane-controls");
  const seeds = [...new Set(data.points.filter((p) => p.seed !== "hub").map((p) => p.seed))];
  if (!data.points.length) {
    document.getElementById("plane-models").remove();
    document.getElementById("plane-detail").textContent = "No model has a reasoning accuracy and, beside it, a harmful score or over-refusal.";
    return;
  }
  const names = { mean: "mean of all", mean_ok: "mean of those that trained" };
  if (data.lrms.length > 1) controls.append(choice("Reasoning model", data.lrms, plane.lrm, (v) => { plane.lrm = v; plane.chosen = null; drawPlane(); }));
  if (seeds.length > 2) controls.append(choice("Training seed", seeds.map((n) => [n, names[n] || n]), plane.seed, (v) => { plane.seed = v; drawPlane(); }));
  if (data.points.some((p) => p.role === "aligned" && !p.final)) controls.append(check("each epoch", false, (v) => { plane.epochs = v; drawPlane(); }));
  drawPlane();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawPlane(); } });
}
