// ---- Transcripts -----------------------------------------------------------------------------

const shards = {}; // benchmark index -> items
const shownTexts = new Set(); // "thinking", "harmful": what is open without a click, until the page is left
const missing = new Set(); // benchmark indices of which a file could not be loaded
const pending = {}; // benchmark index -> shards still to come
const state = { benchmark: 0, lrm: "", seed: "", category: "", model: "", verdict: "", change: "", order: "", q: "", item: "", sample: "" };
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
  const { shards: files, items } = data.transcripts.benchmarks[index];
  if (items) addTranscripts(index, items);
  if (items || !files.length) return ready();
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
  const chosen = shown.filter(([m]) => !state.model || m.name === state.model);
  const followed = chosen.filter(([m]) => m.role === "aligned");
  const query = state.q.toLowerCase();
  const ids = shown.map(([, k]) => k);
  const wanted = { yes: true, no: false }[state.verdict];
  const found = (shards[state.benchmark] || []).filter((item) => {
    if (state.category && item.category !== state.category) return false;
    if (state.verdict && !chosen.some(([, k]) => samplesOf(item, k).some((s) =>
      state.verdict === "none" ? typeof s.v !== "boolean" : s.v === wanted))) return false;
    if (state.change && parent && !followed.some(([, k]) => changed(item, kind, parent[1], k))) return false;
    return !query || textOf(item, ids).includes(query);
  });
  if (!state.order) return found;
  const sign = state.order === "most" ? -1 : 1;
  const hits = new Map(found.map((item) => [item, chosen.reduce((sum, [, k]) => sum + (share(item, k, "v") || 0), 0)]));
  return found.sort((a, b) => sign * (hits.get(a) - hits.get(b)));
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
  if (kind !== "harmful" || shownTexts.has("harmful")) return box(label, text);
  const button = element("button", { type: "button", onclick: () => { const made = box(label, text); button.replaceWith(made); (made.matches("pre") ? made : made.firstChild).focus(); } }, `Show ${label}: may be harmful`);
  return button;
}

// What the judge said of a sample, in words.
function judged(sample) {
  const { categories = [], probability, harm, refusal } = sample.j || {};
  return [
    categories.length ? `flagged for ${categories.join(", ").replaceAll("_", " ")}` : "",
    probability === undefined ? "" : `judge's probability of harm ${probability.toFixed(2)}`,
    harm === undefined ? "" : `judge's grade of harm ${harm.toFixed(2)}`,
    refusal === undefined || refusal === "none" ? "" : `refusal: ${refusal.replaceAll("_", " ")}`,
  ].filter(Boolean).join("; ");
}

const GOOD = { reasoning: true, harmful: false, benign: false };

function drawCard(model, sample, kind) {
  const key = `${model.name}/${sample.r}`;
  const name = visible(model.label) + (sample.r ? `, sample ${sample.r + 1}` : "");
  const word = sample.grade === undefined ? verdictWord(kind, sample.v) : `${Math.round(100 * sample.grade)} % right`;
  const told = [word, kind === "harmful" && sample.f ? "refused" : "", sample.state === "ok" ? "" : sample.state.replaceAll("_", " ")];
  const tone = typeof sample.v === "boolean" ? (sample.v === GOOD[kind] ? " good" : " bad") : "";
  const chosen = key === state.sample;
  const card = element("article", { class: `sample ${(data.styles[model.label] || [""])[0]}${chosen ? " chosen" : ""}`, "aria-label": name },
    element("h4", {}, name, " ", element("a", { href: hashOf({ sample: key }), "aria-label": `Link to the sample of ${name}` }, "#")),
    element("p", { class: `verdict${tone}` }, told.filter(Boolean).join(", ")));
  const more = judged(sample);
  if (more) card.append(element("p", { class: "caption" }, visible(more)));
  if (sample.extracted !== undefined) card.append(element("p", { class: "caption" }, `Read as: ${visible(sample.extracted ?? "nothing")}`));
  if (sample.thinking !== null) card.append(element("details", { open: shownTexts.has("thinking") }, element("summary", {}, `Thinking, ${sample.tokens[0]} tokens`), hidden(kind, `thinking of ${name}`, sample.thinking)));
  card.append(element("p", { class: "caption" }, `Answer, ${sample.tokens[1]} tokens`), hidden(kind, `answer of ${name}`, sample.answer));
  return card;
}

function drawItem() {
  const place = document.getElementById("sample");
  const item = (shards[state.benchmark] || []).find((one) => one.id === state.item);
  if (!item) return place.replaceChildren(state.item ? `No item ${visible(state.item)} here.` : shards[state.benchmark] ? "Choose an item." : "");
  const { kind } = data.transcripts.benchmarks[state.benchmark];
  // The target of a harmful prompt tells as much as the prompt.
  const target = item.target ? `target: ${item.target}` : "";
  const cards = modelsShown().flatMap(([model, k]) => samplesOf(item, k).map((sample) => drawCard(model, sample, kind)));
  const open = (what, checked) => {
    const { key } = document.activeElement.dataset;
    checked ? shownTexts.add(what) : shownTexts.delete(what);
    drawItem();
    document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  };
  place.replaceChildren(
    element("div", { class: "item-head" }, element("h3", {}, visible(item.id), " ", element("a", { href: hashOf({ sample: "" }), "aria-label": `Link to item ${visible(item.id)}` }, "#")),
      element("p", { class: "caption" }, visible([item.category, kind === "harmful" ? "" : target].filter(Boolean).join(" · ")))),
    element("div", { class: "controls" }, check("open all thinking", shownTexts.has("thinking"), (yes) => open("thinking", yes)),
      ...(kind === "harmful" ? [check("show texts that may be harmful", shownTexts.has("harmful"), (yes) => open("harmful", yes))] : [])),
    hidden(kind, "prompt", kind === "harmful" && target ? `${item.prompt}\n\n${target}` : item.prompt),
    element("div", { class: cards.length === 4 ? "samples even" : "samples" }, ...cards));
  return place.querySelector(".chosen");
}

function mark(value) { return value === undefined ? "·" : value === 1 ? "●" : value === 0 ? "○" : "◐"; }

function drawItems() {
  const place = document.getElementById("items");
  const { kind } = data.transcripts.benchmarks[state.benchmark];
  const found = matching();
  const shown = modelsShown();
  const mixed = found.some((item) => item.samples.some((s) => s.r)) ? ", ◐ some samples" : "";
  const chosen = data.transcripts.benchmarks[state.benchmark].chosen;
  const part = chosen === undefined ? "" : `${chosen} `;
  const lost = missing.has(state.benchmark) ? "The folder transcripts/ that belongs beside this page is missing or not complete. " : "";
  document.getElementById("found").textContent = part + lost + (lost && !shards[state.benchmark] ? "" : `${found.length} of ${(shards[state.benchmark] || []).length} items; marks: ${shown.map(([m]) => visible(m.label)).join(", ")} (● ${words[kind][0]}, ○ ${words[kind][1]}${mixed}, · none)`);
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
    choice("Benchmark", benchmarks.map((b, k) => [String(k), b.label]), String(state.benchmark), (v) => change({ benchmark: +v, category: "", change: "", item: "", sample: "" })),
    choice("LRM", data.lrms, state.lrm, (v) => change({ lrm: v, model: "" })),
    choice("Seed", (trained.length ? trained : seeds).map((n) => [n, n]), state.seed, (v) => change({ seed: v })),
    choice("Category", [...any, ...categories.map((c) => [c, c])], state.category, (v) => change({ category: v })),
    choice("Model", [...any, ...shown.map(([m]) => [m.name, m.label])], state.model, (v) => change({ model: v })),
    choice("Verdict", [...any, ["yes", words[kind][0]], ["no", words[kind][1]], ["none", "no verdict"]], state.verdict, (v) => change({ verdict: v })),
    choice("Change from the LRM", [...any, ...changes, ["same", "same"]], state.change, (v) => change({ change: v })),
    choice("Order", [["", "by name"], ["most", `most ${words[kind][0]} first`], ["least", `least ${words[kind][0]} first`]], state.order, (v) => change({ order: v })),
    element("label", {}, "Search all text", search),
    element("button", { type: "button", title: `At most ${MOST} items, with the prompts and all that was written to them`, onclick: savePage }, "Save these items in one file"));
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
  if (!data.lrms.some(([name]) => name === state.lrm)) state.lrm = data.lrms[0][0];
  const seeds = models.filter((m) => m.lrms.includes(state.lrm)).map((m) => m.seed);
  if (!seeds.includes(state.seed)) state.seed = seeds.find((s) => s !== "hub") || seeds[0];
  shownItems = STEP;
  drawControls();
  loadBenchmark(state.benchmark, () => {
    drawItems();
    const target = drawItem();
    // What had the focus was drawn anew.
    const again = focused && document.querySelector(`[data-key="${CSS.escape(focused)}"]`);
    if (again) again.focus({ preventScroll: true });
    if (again && typed !== null) { again.value = typed; again.setSelectionRange(typed.length, typed.length); }
    if (arriving && linked) (target || document.getElementById("transcripts")).scrollIntoView({ block: "start" });
  });
}

// ---- One file to send ------------------------------------------------------------------------

const MOST = 200; // items that a saved page carries

// This page again, with the items that the filters find inside it.
function savePage() {
  const found = matching().slice(0, MOST);
  const kept = structuredClone({ ...data, probe: null });
  kept.transcripts.benchmarks.forEach((one, k) => {
    one.shards = [];
    one.items = k === state.benchmark ? found.map(({ of, ...item }) => item) : [];
    one.chosen = k === state.benchmark ? `${found.length} items of ${shards[k].length} were chosen for this file by hand.` : "No item of this benchmark was chosen for this file.";
  });
  const json = JSON.stringify(kept).replace(/[<>\u2028\u2029]/g, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const from = source.indexOf('id="page-data">') + 'id="page-data">'.length;
  const end = source.indexOf("<" + "/script>", from);
  download("page.html", "text/html", source.slice(0, from) + json + source.slice(end));
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
startFiles();
startTranscripts();
