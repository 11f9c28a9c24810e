"use strict";
// Everything that comes from a model or a config reaches the page through textContent alone.
const source = `<!doctype html>\n${document.documentElement.outerHTML}`; // before anything is drawn
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

function check(label, checked, changed) {
  const box = element("input", { type: "checkbox", "data-key": label, onchange: () => changed(box.checked) });
  box.checked = checked;
  return element("label", { class: "check" }, box, label);
}

// Give a text as a file; works from disk, too.
function download(name, type, text) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- The files beside the page ---------------------------------------------------------------

// A page that was sent without them says so, and offers what it holds itself.
function alone() {
  document.body.classList.add("alone");
  document.querySelector(".alone-note").hidden = false;
  for (const figure of document.querySelectorAll("figure")) {
    const name = `${figure.id.replace("figure-", "")}.svg`;
    figure.querySelector(".files").append(element("a", { href: figure.querySelector("img").src, download: name }, "SVG"));
  }
  for (const section of document.querySelectorAll(".table")) {
    const name = `${section.id.replace("table-", "")}.csv`;
    section.querySelector(".tools").append(element("button", { type: "button", onclick: () => download(name, "text/csv", csvOf(section.querySelector("table"))) }, "CSV"));
  }
}

function startFiles() {
  if (!data.probe) return alone();
  const probe = new Image();
  probe.onerror = alone;
  probe.src = data.probe;
}

// ---- Tables that can be sorted and filtered --------------------------------------------------

function sortKey(text) {
  const number = parseFloat(text.replace(/^[<\s]+/, ""));
  return Number.isNaN(number) ? null : number;
}

function sortBy(table, column, falling) {
  [...table.tHead.rows[0].cells].forEach((head, k) => k === column ? head.setAttribute("aria-sort", falling ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
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

// A spreadsheet takes such a text for a formula.
const csvCell = (text) => `"${(/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text).replaceAll('"', '""')}"`;

function csvOf(table) {
  const text = (cell) => [...cell.childNodes].map((node) => node.textContent.trim()).filter(Boolean).map((part, k) => (k ? `(${part})` : part)).join(" ");
  return `${[...table.rows].map((row) => [...row.cells].map(text).map(csvCell).join(",")).join("\n")}\n`;
}

// A link to a table opens it.
function openLinked() {
  if (location.hash.startsWith("#table-")) document.querySelector(`${location.hash} details`)?.setAttribute("open", "");
}

const FEW = 6; // rows that need no filter

function startTables() {
  openLinked();
  addEventListener("hashchange", openLinked);
  for (const section of document.querySelectorAll(".table")) {
    const table = section.querySelector("table"), tools = section.querySelector(".tools");
    const heads = [...table.tHead.rows[0].cells], names = heads.map((head) => head.textContent);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) [...row.cells].forEach((cell, k) => { cell.dataset.label = names[k]; });
    heads.forEach((head, k) => head.replaceChildren(element("button", { type: "button", onclick: () => sortBy(table, k, head.getAttribute("aria-sort") === "ascending") }, names[k])));
    const sort = choice("Sort by", [["", "–"], ...names.map((name, k) => [String(k), name])], "", (k) => { if (k) sortBy(table, +k, false); });
    sort.classList.add("sort");
    tools.prepend(sort);
    if (rows.length <= FEW) continue;
    const found = element("span", { role: "status" });
    const input = element("input", { type: "search", placeholder: "all words in a row", oninput: () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      found.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
      if (words.length) section.querySelector("details")?.setAttribute("open", "");
    } });
    tools.prepend(element("label", {}, "Filter", input), found);
  }
}
