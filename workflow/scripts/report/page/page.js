"use strict";
// Everything that comes from a model or a config reaches the page through textContent alone.
const data = JSON.parse(document.getElementById("page-data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "path", "text", "title"].includes(name);
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children) made.append(child);
  return made;
}

// Marks that turn text around and terminal codes are spelled out, so that they act on nothing.
const visible = (text) => String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
  (mark) => `⟨U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

function choice(label, options, value, changed) {
  const select = element("select", { "data-key": label, onchange: () => changed(select.value) });
  for (const [key, text] of options) select.append(element("option", { value: key }, visible(text)));
  select.value = value;
  return element("label", {}, label, select);
}

// ---- The trade-off plane ---------------------------------------------------------------------

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
const plane = { lrm: data.lrms[0], seed: "mean", epochs: false };

function drawPlane() {
  const place = document.getElementById("plane-plot");
  const width = Math.max(280, Math.min(place.clientWidth || 640, 640)), height = Math.round(width * 0.4 + 190);
  const left = 52, bottom = 46, top = 12, right = 14;
  const x = (v) => left + (v / 100) * (width - left - right);
  const y = (v) => height - bottom - (v / 100) * (height - bottom - top);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": "Harmful score against reasoning accuracy, a button for each model" });
  for (const tick of [0, 20, 40, 60, 80, 100]) {
    svg.append(
      element("line", { class: "grid", x1: x(tick), x2: x(tick), y1: y(0), y2: y(100) }),
      element("line", { class: "grid", x1: x(0), x2: x(100), y1: y(tick), y2: y(tick) }),
      element("text", { x: x(tick), y: y(0) + 18, "text-anchor": "middle" }, String(tick)),
      element("text", { x: x(0) - 8, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  svg.append(
    element("line", { class: "axis", x1: x(0), x2: x(100), y1: y(0), y2: y(0) }),
    element("line", { class: "axis", x1: x(0), x2: x(0), y1: y(0), y2: y(100) }),
    element("text", { x: x(50), y: height - 8, "text-anchor": "middle" }, "Harmful score (%), lower is safer"),
    element("text", { transform: `translate(14,${y(50)}) rotate(-90)`, "text-anchor": "middle" }, "Reasoning accuracy (%)"));
  const chosen = data.points.filter((p) => p.lrm === plane.lrm &&
    (p.seed === plane.seed || (p.role !== "aligned" && p.seed === "hub" && plane.seed !== "mean")));
  const start = chosen.find((p) => p.role === "lrm");
  const legend = [];
  const models = [...new Set(chosen.map((p) => p.model))];
  const lasts = models.map((model) => {
    const mine = chosen.filter((p) => p.model === model);
    return mine.find((p) => p.final) || mine[mine.length - 1];
  });
  const best = lasts.filter((p) => p.on_frontier.includes(plane.seed)).sort((p, q) => p.harm[0] - q.harm[0]);
  const edge = new Set(best.map((p) => `${p.harm[0]} ${p.accuracy[0]}`)).size > 1;
  if (edge) {
    const path = best.map((p, k) => k ? `H${x(p.harm[0])}V${y(p.accuracy[0])}` : `M${x(p.harm[0])},${y(p.accuracy[0])}`).join("");
    svg.append(element("path", { class: "frontier", d: path }));
  }
  models.forEach((model, index) => {
    const [given, shape] = data.styles[model];
    const color = given === "#000000" ? "currentColor" : given; // black is lost on a dark page
    const mine = chosen.filter((p) => p.model === model);
    const last = lasts[index];
    const group = element("g", { fill: color, stroke: color });
    if (start && last.role === "aligned") {
      const stops = plane.epochs ? [start, ...mine] : [start, last];
      for (let k = 1; k < stops.length; k++) arrow(group, x(stops[k - 1].harm[0]), y(stops[k - 1].accuracy[0]), x(stops[k].harm[0]), y(stops[k].accuracy[0]));
    }
    for (const point of plane.epochs ? mine : [last]) {
      const [px, py] = [x(point.harm[0]), y(point.accuracy[0])];
      const text = describe(point);
      group.append(
        ...(point.harm[1] === null ? [] : [element("line", { x1: x(point.harm[1]), x2: x(point.harm[2]), y1: py, y2: py })]),
        ...(point.accuracy[1] === null ? [] : [element("line", { x1: px, x2: px, y1: y(point.accuracy[1]), y2: y(point.accuracy[2]) })]),
        element("path", { class: "point", d: SHAPES[shape], transform: `translate(${px},${py})${point === last ? "" : " scale(.6)"}`,
          tabindex: 0, role: "button", "aria-label": text, onmouseenter: () => show(text), onfocus: () => show(text), onclick: () => show(text) },
          element("title", {}, text)));
    }
    legend.push(element("li", {},
      element("svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true" }, element("path", { d: SHAPES[shape], fill: color })),
      ` ${visible(model)}${last.status === "ok" ? "" : " (training failed)"}`));
    svg.append(group);
  });
  if (edge) legend.push(element("li", {}, "dashed: the frontier of harm and accuracy"));
  place.replaceChildren(svg);
  document.getElementById("plane-legend").replaceChildren(...legend);
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

function describe(p) {
  const range = ([value, low, high]) => `${value.toFixed(1)} %` +
    (low === null || high === null ? "" : ` (${low.toFixed(1)} to ${high.toFixed(1)})`);
  const epoch = p.role === "aligned" && p.epoch !== null ? `, epoch ${p.epoch}` : "";
  const failed = p.status === "ok" ? "" : `; training failed: ${visible(p.reason)}`;
  return `${visible(p.model)}${epoch}, seed ${p.seed}: reasoning accuracy ${range(p.accuracy)}, harmful score ${range(p.harm)}${failed}`;
}

function show(text) { document.getElementById("plane-detail").textContent = text; }

function startPlane() {
  const controls = document.getElementById("plane-controls");
  const seeds = [...new Set(data.points.filter((p) => p.seed !== "hub").map((p) => p.seed))];
  if (!data.points.length) return show("No model has both a reasoning accuracy and a harmful score.");
  const box = element("input", { type: "checkbox", onchange: () => { plane.epochs = box.checked; drawPlane(); } });
  controls.append(
    choice("LRM", data.lrms.map((n) => [n, n]), plane.lrm, (v) => { plane.lrm = v; drawPlane(); }),
    choice("Seed", seeds.map((n) => [n, n]), plane.seed, (v) => { plane.seed = v; drawPlane(); }),
    element("label", { class: "check" }, box, "each epoch"));
  drawPlane();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawPlane(); } });
}

// ---- Sortable tables -------------------------------------------------------------------------

function sortKey(text) {
  const number = parseFloat(text.replace(/^[<\s]+/, ""));
  return Number.isNaN(number) ? null : number;
}

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const falling = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head, k) => k === column ? head.setAttribute("aria-sort", falling ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [row, row.cells[column].textContent.trim()]);
  rows.sort(([, a], [, b]) => {
    const [p, q] = [sortKey(a), sortKey(b)];
    // Numbers before words, missing values last in both directions.
    if (a === "–" || b === "–") return (a === "–") - (b === "–");
    const order = p !== null && q !== null ? p - q : p === null && q === null ? a.localeCompare(b) : p === null ? 1 : -1;
    return falling ? -order : order;
  });
  body.append(...rows.map(([row]) => row));
}

function startTables() {
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = element("button", { type: "button", onclick: () => sortBy(table, column) }, head.textContent);
      head.replaceChildren(button);
    });
  }
}

// ---- Transcripts -----------------------------------------------------------------------------

const shards = {}; // benchmark index -> items
const missing = new Set(); // benchmark indices of which a file could not be loaded
const pending = {}; // benchmark index -> shards still to come
const state = { benchmark: 0, lrm: "", seed: "", category: "", model: "", verdict: "", change: "", q: "", item: "", sample: "" };
const STEP = 100; // items listed at once
const LONG = 20000; // characters shown before a click
let shownItems = STEP;

// Called by the shard files: file:// pages may load scripts but not fetch data.
globalThis.addTranscripts = (benchmark, items) => {
  for (const item of items) {
    item.of = []; // samples by model
    for (const sample of item.samples) (item.of[sample.m] ||= []).push(sample);
  }
  (shards[benchmark] ||= []).push(...items);
};

function loadBenchmark(index, ready) {
  if (shards[index] && !pending[index]) return ready();
  if (pending[index]) return;
  const files = data.transcripts.benchmarks[index].shards;
  if (!files.length) return ready();
  pending[index] = files.length;
  for (const file of files) {
    const script = element("script", { src: file });
    script.onload = script.onerror = ({ type }) => {
      if (type === "error") missing.add(index);
      if (--pending[index]) return;
      shards[index]?.sort((a, b) => (a.id < b.id ? -1 : 1));
      if (state.benchmark === index) ready();
    };
    document.head.append(script);
  }
}

function modelsShown() {
  return data.transcripts.models.map((m, k) => [m, k])
    .filter(([m]) => m.lrms.includes(state.lrm) && (m.seed === state.seed || m.seed === "hub"));
}

const samplesOf = (item, model) => item.of[model] || [];

// Share of a model's samples of an item for which a verdict holds: `v` the benchmark's own, `f`
// refused. Undefined where no sample has the verdict.
function share(item, model, field) {
  let n = 0, yes = 0;
  for (const s of samplesOf(item, model)) if (typeof s[field] === "boolean") { n++; yes += s[field]; }
  return n ? yes / n : undefined;
}

const words = { reasoning: ["correct", "wrong"], harmful: ["harmful", "not harmful"], benign: ["refused", "answered"] };
const CHANGES = { // key: [verdict, +1 when it became true, label]
  reasoning: { lost: ["v", -1, "newly wrong"], gained: ["v", 1, "newly correct"] },
  harmful: { gained: ["v", 1, "newly harmful"], lost: ["v", -1, "no longer harmful"], refused: ["f", 1, "newly refused"], complied: ["f", -1, "no longer refused"] },
  benign: { gained: ["v", 1, "newly refused"], lost: ["v", -1, "no longer refused"] },
};

function verdictWord(kind, v) { return v === true ? words[kind][0] : v === false ? words[kind][1] : "no verdict"; }

function changed(item, kind, parent, model) {
  if (state.change === "same") return share(item, parent, "v") !== undefined && share(item, parent, "v") === share(item, model, "v");
  const [field, sign] = CHANGES[kind][state.change] || [];
  const [before, after] = [share(item, parent, field), share(item, model, field)];
  return before !== undefined && after !== undefined && Math.sign(after - before) === sign;
}

function textOf(item, ids) {
  const own = ids.flatMap((k) => samplesOf(item, k)).map((s) => `${s.thinking || ""}\n${s.answer || ""}`);
  return [item.id, item.prompt, ...own].join("\n").toLowerCase();
}

function matching() {
  const { kind } = data.transcripts.benchmarks[state.benchmark];
  const shown = modelsShown();
  const parent = shown.find(([m]) => m.role === "lrm");
  const chosen = shown.filter(([m]) => !state.model || m.label === state.model);
  const followed = chosen.filter(([m]) => m.role === "aligned");
  const query = state.q.toLowerCase();
  const ids = shown.map(([, k]) => k);
  const wanted = { yes: true, no: false }[state.verdict];
  return (shards[state.benchmark] || []).filter((item) => {
    if (state.category && item.category !== state.category) return false;
    if (state.verdict && !chosen.some(([, k]) => samplesOf(item, k).some((s) =>
      state.verdict === "none" ? typeof s.v !== "boolean" : s.v === wanted))) return false;
    if (state.change && parent && !followed.some(([, k]) => changed(item, kind, parent[1], k))) return false;
    return !query || textOf(item, ids).includes(query);
  });
}

// A text in a box, at most LONG characters of it before a click.
function box(label, text) {
  const shown = visible(text);
  const pre = element("pre", { tabindex: 0, role: "region", "aria-label": label, dir: "auto" }, shown.slice(0, LONG));
  if (shown.length <= LONG) return pre;
  const more = element("button", { type: "button", onclick: () => { pre.textContent = shown; more.remove(); } },
    `Show all ${shown.length.toLocaleString("en")} characters`);
  return element("div", {}, pre, more);
}

function hidden(kind, label, text) {
  if (kind !== "harmful") return box(label, text);
  const button = element("button", { type: "button", onclick: () => { const made = box(label, text); button.replaceWith(made); (made.matches("pre") ? made : made.firstChild).focus(); } }, `Show ${label}: may be harmful`);
  return button;
}

function drawItem() {
  const place = document.getElementById("sample");
  const item = (shards[state.benchmark] || []).find((one) => one.id === state.item);
  if (!item) return place.replaceChildren(state.item ? `No item ${visible(state.item)} here.` : shards[state.benchmark] ? "Choose an item." : "");
  const { kind } = data.transcripts.benchmarks[state.benchmark];
  // The target of a harmful prompt tells as much as the prompt.
  const target = item.target ? `target: ${item.target}` : "";
  let linked = null;
  const cards = modelsShown().flatMap(([model, k]) => samplesOf(item, k).map((sample) => {
    const key = `${model.label}/${sample.r}`;
    const name = visible(model.label) + (sample.r ? `, sample ${sample.r + 1}` : "");
    const told = [verdictWord(kind, sample.v), kind === "harmful" && sample.f ? "refused" : "", sample.state === "ok" ? "" : sample.state];
    const card = element("article", { class: key === state.sample ? "sample chosen" : "sample", "aria-label": name },
      element("h4", {}, name, " ", element("a", { href: hashOf({ sample: key }), "aria-label": `Link to the sample of ${name}` }, "#")),
      element("p", { class: "verdict" }, told.filter(Boolean).join(", ")));
    if (key === state.sample) linked = card;
    if (sample.extracted !== undefined) card.append(element("p", { class: "caption" }, `Read as: ${visible(sample.extracted ?? "nothing")}`));
    if (sample.thinking !== null) card.append(element("details", {}, element("summary", {}, `Thinking, ${sample.tokens[0]} tokens`), hidden(kind, `thinking of ${name}`, sample.thinking)));
    card.append(element("p", { class: "caption" }, `Answer, ${sample.tokens[1]} tokens`), hidden(kind, `answer of ${name}`, sample.answer));
    return card;
  }));
  place.replaceChildren(
    element("h3", {}, visible(item.id), " ", element("a", { href: hashOf({ sample: "" }), "aria-label": `Link to item ${visible(item.id)}` }, "#")),
    element("p", { class: "caption" }, visible([item.category, kind === "harmful" ? "" : target].filter(Boolean).join(" · "))),
    hidden(kind, "prompt", kind === "harmful" && target ? `${item.prompt}\n\n${target}` : item.prompt), element("div", { class: "samples" }, ...cards));
  return linked;
}

function mark(value) { return value === undefined ? "·" : value === 1 ? "●" : value === 0 ? "○" : "◐"; }

function drawItems() {
  const place = document.getElementById("items");
  const { kind } = data.transcripts.benchmarks[state.benchmark];
  const found = matching();
  const shown = modelsShown();
  const mixed = found.some((item) => item.samples.some((s) => s.r)) ? ", ◐ some samples" : "";
  const lost = missing.has(state.benchmark) ? "The folder transcripts/ that belongs beside this page is missing or not complete. " : "";
  document.getElementById("found").textContent = lost + (lost && !shards[state.benchmark] ? "" : `${found.length} of ${(shards[state.benchmark] || []).length} items; marks: ${shown.map(([m]) => visible(m.label)).join(", ")} (● ${words[kind][0]}, ○ ${words[kind][1]}${mixed}, · none)`);
  place.replaceChildren(...found.slice(0, shownItems).map((item) => {
    const marks = shown.map(([, k]) => mark(share(item, k, "v"))).join("");
    const text = visible(kind === "harmful" ? item.category : item.prompt.slice(0, 90));
    const told = shown.map(([m, k]) => `${m.label} ${verdictWord(kind, samplesOf(item, k)[0]?.v)}`).join(", ");
    return element("button", { type: "button", "data-key": `item ${item.id}`, "aria-current": item.id === state.item ? "true" : null, onclick: () => change({ item: item.id, sample: "" }) },
      element("span", { class: "marks", role: "img", "aria-label": visible(told) }, marks), ` ${visible(item.id)} `, text);
  }));
  if (found.length > shownItems) place.append(element("button", { type: "button", onclick: () => { shownItems += STEP; drawItems(); } }, `Show more of ${found.length}`));
}

function moveInItems(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.target.tagName !== "BUTTON") return;
  event.preventDefault();
  (step > 0 ? event.target.nextElementSibling : event.target.previousElementSibling)?.focus();
}

function drawControls() {
  const { benchmarks, models } = data.transcripts;
  const { kind, categories } = benchmarks[state.benchmark];
  const shown = modelsShown();
  const any = [["", "any"]];
  let typing;
  const search = element("input", { type: "search", "data-key": "search", value: state.q, oninput: () => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ q: search.value }), 250);
  } });
  const seeds = [...new Set(models.filter((m) => m.lrms.includes(state.lrm)).map((m) => m.seed))];
  const trained = seeds.filter((s) => s !== "hub");
  const changes = Object.entries(CHANGES[kind]).map(([key, [, , label]]) => [key, label]);
  document.getElementById("browser-controls").replaceChildren(
    choice("Benchmark", benchmarks.map((b, k) => [String(k), b.name]), String(state.benchmark), (v) => change({ benchmark: +v, category: "", change: "", item: "", sample: "" })),
    choice("LRM", data.lrms.map((n) => [n, n]), state.lrm, (v) => change({ lrm: v, model: "" })),
    choice("Seed", (trained.length ? trained : seeds).map((n) => [n, n]), state.seed, (v) => change({ seed: v })),
    choice("Category", [...any, ...categories.map((c) => [c, c])], state.category, (v) => change({ category: v })),
    choice("Model", [...any, ...shown.map(([m]) => [m.label, m.label])], state.model, (v) => change({ model: v })),
    choice("Verdict", [...any, ["yes", words[kind][0]], ["no", words[kind][1]], ["none", "no verdict"]], state.verdict, (v) => change({ verdict: v })),
    choice("Change from the LRM", [...any, ...changes, ["same", "same"]], state.change, (v) => change({ change: v })),
    element("label", {}, "Search all text", search));
}

// A link names its benchmark: its number would be another one where the experiment has another.
function hashOf(values) {
  const hash = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...state, ...values })) if (value !== "") hash.set(key, value);
  hash.set("benchmark", data.transcripts.benchmarks[hash.get("benchmark")].name);
  return `#transcripts?${hash}`;
}

function change(values) { location.hash = hashOf(values); }

function readHash() {
  if (!location.hash.startsWith("#transcripts?")) return false;
  const hash = new URLSearchParams(location.hash.slice("#transcripts?".length));
  for (const key of Object.keys(state)) state[key] = hash.get(key) ?? "";
  return true;
}

function drawBrowser(arriving) {
  const { benchmarks, models } = data.transcripts;
  const linked = readHash();
  const focused = document.activeElement?.dataset.key;
  const typed = focused === "search" ? document.activeElement.value : null;
  const named = benchmarks.findIndex((one) => one.name === state.benchmark);
  const index = named < 0 ? +state.benchmark : named; // links were numbers once
  state.benchmark = index in benchmarks ? index : 0;
  if (!data.lrms.includes(state.lrm)) state.lrm = data.lrms[0];
  const seeds = models.filter((m) => m.lrms.includes(state.lrm)).map((m) => m.seed);
  if (!seeds.includes(state.seed)) state.seed = seeds.find((s) => s !== "hub") || seeds[0];
  shownItems = STEP;
  drawControls();
  loadBenchmark(state.benchmark, () => {
    drawItems();
    const target = drawItem();
    // What had the focus was drawn again.
    const again = focused && document.querySelector(`[data-key="${CSS.escape(focused)}"]`);
    if (again) again.focus({ preventScroll: true });
    if (again && typed !== null) { again.value = typed; again.setSelectionRange(typed.length, typed.length); }
    if (arriving && linked) (target || document.getElementById("transcripts")).scrollIntoView({ block: "start" });
  });
}

function startTranscripts() {
  if (!data.transcripts) return;
  addEventListener("hashchange", () => { if (location.hash.startsWith("#transcripts?")) drawBrowser(false); });
  document.getElementById("items").addEventListener("keydown", moveInItems);
  drawBrowser(true);
}

for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
startPlane();
startTables();
startTranscripts();
