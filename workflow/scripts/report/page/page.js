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

function choice(label, options, value, changed) {
  const select = element("select", { onchange: () => changed(select.value) });
  for (const [key, text] of options) select.append(element("option", { value: key }, text));
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
  const width = 640, height = 440, left = 60, bottom = 50, top = 16, right = 150;
  const x = (v) => left + (v / 100) * (width - left - right);
  const y = (v) => height - bottom - (v / 100) * (height - bottom - top);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "Harmful score against reasoning accuracy" });
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
    element("text", { x: x(50), y: height - 10, "text-anchor": "middle" }, "Harmful score (%), lower is safer"),
    element("text", { transform: `translate(16,${y(50)}) rotate(-90)`, "text-anchor": "middle" }, "Reasoning accuracy (%)"));
  const chosen = data.points.filter((p) => p.lrm === plane.lrm &&
    (p.seed === plane.seed || (p.role !== "aligned" && p.seed === "hub" && plane.seed !== "mean")));
  const start = chosen.find((p) => p.role === "lrm");
  const models = [...new Set(chosen.map((p) => p.model))];
  models.forEach((model, index) => {
    const [given, shape] = data.styles[model];
    const color = given === "#000000" ? "currentColor" : given; // black is lost on a dark page
    const mine = chosen.filter((p) => p.model === model);
    const last = mine.find((p) => p.final) || mine[mine.length - 1];
    const group = element("g", { fill: color, stroke: color });
    if (start && last.role === "aligned") {
      const stops = plane.epochs ? [start, ...mine] : [start, last];
      for (let k = 1; k < stops.length; k++) arrow(group, x(stops[k - 1].harm[0]), y(stops[k - 1].accuracy[0]), x(stops[k].harm[0]), y(stops[k].accuracy[0]));
    }
    for (const point of plane.epochs ? mine : [last]) {
      const [px, py] = [x(point.harm[0]), y(point.accuracy[0])];
      const text = describe(point);
      group.append(
        element("line", { x1: x(point.harm[1]), x2: x(point.harm[2]), y1: py, y2: py }),
        element("line", { x1: px, x2: px, y1: y(point.accuracy[1]), y2: y(point.accuracy[2]) }),
        element("path", { class: "point", d: SHAPES[shape], transform: `translate(${px},${py})${point === last ? "" : " scale(.6)"}`,
          tabindex: 0, role: "button", "aria-label": text, onmouseenter: () => show(text), onfocus: () => show(text), onclick: () => show(text) },
          element("title", {}, text)));
    }
    const legend = top + 14 + index * 22;
    group.append(
      element("path", { d: SHAPES[shape], transform: `translate(${width - right + 24},${legend})`, stroke: "none" }),
      element("text", { x: width - right + 38, y: legend + 4, stroke: "none" }, model + (last.status === "ok" ? "" : " (failed)")));
    svg.append(group);
  });
  document.getElementById("plane-plot").replaceChildren(svg);
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
  const range = ([value, low, high]) => `${value.toFixed(1)} % (${low.toFixed(1)} to ${high.toFixed(1)})`;
  const epoch = p.role === "aligned" && p.epoch !== null ? `, epoch ${p.epoch}` : "";
  const failed = p.status === "ok" ? "" : `; training failed: ${p.reason}`;
  return `${p.model}${epoch}, seed ${p.seed}: reasoning accuracy ${range(p.accuracy)}, harmful score ${range(p.harm)}${failed}`;
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
const pending = {}; // benchmark index -> shards still to come
const state = { benchmark: 0, lrm: "", seed: "", category: "", model: "", verdict: "", change: "", q: "", item: "" };
let shownItems = 200;

// Called by the shard files: file:// pages may load scripts but not fetch data.
globalThis.addTranscripts = (benchmark, items) => { (shards[benchmark] ||= []).push(...items); };

function loadBenchmark(index, ready) {
  if (shards[index] && !pending[index]) return ready();
  if (pending[index]) return;
  const files = data.transcripts.benchmarks[index].shards;
  pending[index] = files.length;
  for (const file of files) {
    const script = element("script", { src: file });
    script.onload = script.onerror = () => {
      if (--pending[index]) return;
      shards[index]?.sort((a, b) => (a.id < b.id ? -1 : 1));
      ready();
    };
    document.head.append(script);
  }
}

function modelsShown() {
  return data.transcripts.models.map((m, k) => [m, k])
    .filter(([m]) => m.lrms.includes(state.lrm) && (m.seed === state.seed || m.seed === "hub"));
}

const samplesOf = (item, model) => item.samples.filter((s) => s.m === model);
const verdictOf = (item, model) => { const s = samplesOf(item, model)[0]; return s ? s.v : undefined; };
const words = { reasoning: ["correct", "wrong"], harmful: ["harmful", "not harmful"], benign: ["refused", "answered"] };

function verdictWord(kind, v) { return v === true ? words[kind][0] : v === false ? words[kind][1] : "no verdict"; }

function matching() {
  const shown = modelsShown();
  const parent = shown.find(([m]) => m.role === "lrm");
  const target = shown.find(([m]) => m.label === state.model);
  const query = state.q.toLowerCase();
  return (shards[state.benchmark] || []).filter((item) => {
    if (state.category && item.category !== state.category) return false;
    if (target && state.verdict) {
      const v = verdictOf(item, target[1]);
      if ({ yes: v !== true, no: v !== false, none: v === true || v === false }[state.verdict]) return false;
    }
    if (target && parent && state.change) {
      const [before, after] = [verdictOf(item, parent[1]), verdictOf(item, target[1])];
      if ({ gained: before !== false || after !== true, lost: before !== true || after !== false, same: before !== after }[state.change]) return false;
    }
    if (!query) return true;
    const ids = new Set(shown.map(([, k]) => k));
    return item.prompt.toLowerCase().includes(query) || item.samples.some((s) => ids.has(s.m) &&
      ((s.thinking || "").toLowerCase().includes(query) || (s.answer || "").toLowerCase().includes(query)));
  });
}

function hidden(kind, label, text) {
  const pre = element("pre", {}, text);
  if (kind !== "harmful") return pre;
  const button = element("button", { type: "button", onclick: () => button.replaceWith(pre) }, `Show ${label}: may be harmful`);
  return button;
}

function drawItem() {
  const place = document.getElementById("sample");
  const item = (shards[state.benchmark] || []).find((one) => one.id === state.item);
  if (!item) return place.replaceChildren(state.item ? `No item ${state.item} here.` : "Choose an item.");
  const { kind } = data.transcripts.benchmarks[state.benchmark];
  const cards = modelsShown().flatMap(([model, k]) => samplesOf(item, k).map((sample) => {
    const card = element("article", { class: "sample" },
      element("h4", {}, model.label + (sample.r ? `, sample ${sample.r + 1}` : "")),
      element("p", { class: "verdict" }, `${verdictWord(kind, sample.v)}${sample.state === "ok" ? "" : `, ${sample.state}`}`));
    if (sample.extracted !== undefined) card.append(element("p", { class: "caption" }, `Read as: ${sample.extracted ?? "nothing"}`));
    if (sample.thinking !== null) card.append(element("details", {}, element("summary", {}, `Thinking, ${sample.tokens[0]} tokens`), hidden(kind, "thinking", sample.thinking)));
    card.append(element("p", { class: "caption" }, `Answer, ${sample.tokens[1]} tokens`), hidden(kind, "answer", sample.answer));
    return card;
  }));
  place.replaceChildren(
    element("h3", {}, item.id, " ", element("a", { href: location.hash }, "link")),
    element("p", { class: "caption" }, [item.category, item.target ? `target: ${item.target}` : ""].filter(Boolean).join(" · ")),
    hidden(kind, "prompt", item.prompt), element("div", { class: "samples" }, ...cards));
}

function drawItems() {
  const place = document.getElementById("items");
  const { kind } = data.transcripts.benchmarks[state.benchmark];
  const found = matching();
  const shown = modelsShown();
  document.getElementById("found").textContent = `${found.length} of ${(shards[state.benchmark] || []).length} items; marks: ${shown.map(([m]) => m.label).join(", ")} (● ${words[kind][0]}, ○ ${words[kind][1]}, · none)`;
  place.replaceChildren(...found.slice(0, shownItems).map((item) => {
    const marks = shown.map(([, k]) => ({ true: "●", false: "○" })[verdictOf(item, k)] || "·").join("");
    const text = kind === "harmful" ? item.category : item.prompt.slice(0, 90);
    return element("button", { type: "button", "aria-current": item.id === state.item, onclick: () => change({ item: item.id }) },
      element("span", { class: "marks" }, marks), ` ${item.id} `, text);
  }));
  if (found.length > shownItems) place.append(element("button", { type: "button", onclick: () => { shownItems += 200; drawItems(); } }, "Show more"));
}

function drawControls() {
  const { benchmarks, models } = data.transcripts;
  const { kind, categories } = benchmarks[state.benchmark];
  const shown = modelsShown();
  const parent = shown.find(([m]) => m.role === "lrm");
  const any = [["", "any"]];
  const search = element("input", { type: "search", value: state.q, onchange: () => change({ q: search.value }) });
  const seeds = [...new Set(models.filter((m) => m.lrms.includes(state.lrm)).map((m) => m.seed))];
  const trained = seeds.filter((s) => s !== "hub");
  document.getElementById("browser-controls").replaceChildren(
    choice("Benchmark", benchmarks.map((b, k) => [String(k), b.name]), String(state.benchmark), (v) => change({ benchmark: +v, category: "", item: "" })),
    choice("LRM", data.lrms.map((n) => [n, n]), state.lrm, (v) => change({ lrm: v, model: "" })),
    choice("Seed", (trained.length ? trained : seeds).map((n) => [n, n]), state.seed, (v) => change({ seed: v })),
    choice("Category", [...any, ...categories.map((c) => [c, c])], state.category, (v) => change({ category: v })),
    choice("Model", [...any, ...shown.map(([m]) => [m.label, m.label])], state.model, (v) => change({ model: v })),
    choice("Its verdict", [...any, ["yes", words[kind][0]], ["no", words[kind][1]], ["none", "no verdict"]], state.verdict, (v) => change({ verdict: v })),
    choice(parent ? "Change from the LRM" : "Change", [...any, ["gained", `became ${words[kind][0]}`], ["lost", `became ${words[kind][1]}`], ["same", "same"]], state.change, (v) => change({ change: v })),
    element("label", {}, "Search all text", search));
}

function change(values) {
  const hash = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...state, ...values })) if (value !== "") hash.set(key, value);
  location.hash = `transcripts?${hash}`;
}

function readHash() {
  if (!location.hash.startsWith("#transcripts?")) return false;
  const hash = new URLSearchParams(location.hash.slice("#transcripts?".length));
  for (const key of Object.keys(state)) state[key] = hash.get(key) ?? "";
  return true;
}

function drawBrowser() {
  const { benchmarks, models } = data.transcripts;
  const linked = readHash();
  state.benchmark = Math.min(Math.max(Math.trunc(+state.benchmark) || 0, 0), benchmarks.length - 1);
  if (!data.lrms.includes(state.lrm)) state.lrm = data.lrms[0];
  const seeds = models.filter((m) => m.lrms.includes(state.lrm)).map((m) => m.seed);
  if (!seeds.includes(state.seed)) state.seed = seeds.find((s) => s !== "hub") || seeds[0];
  shownItems = 200;
  drawControls();
  loadBenchmark(state.benchmark, () => { drawItems(); drawItem(); });
  if (linked) document.getElementById("transcripts").scrollIntoView();
}

function startTranscripts() {
  if (!data.transcripts) return;
  addEventListener("hashchange", () => { if (location.hash.startsWith("#transcripts?")) drawBrowser(); });
  drawBrowser();
}

for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
startPlane();
startTables();
startTranscripts();
