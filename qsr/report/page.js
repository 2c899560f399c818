// Sorting, the filter by group, views to choose from, legends that point, and commands to copy. No framework, no network.
"use strict";
document.documentElement.classList.add("js");
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const say = (words) => { document.getElementById("said").textContent = words; };

// --- sorting: the first click on a number gives the largest first, on a name A to Z; what is missing stays last
function columnOf(cell) {
  // the second row of heads stands below the sets only; the first row's cells before them are two
  const [top, below] = cell.closest("thead").rows;
  if (cell.parentNode === below) return [...top.cells].findIndex((one) => one.colSpan > 1) + cell.cellIndex;
  return [...top.cells].slice(0, cell.cellIndex).reduce((sum, one) => sum + one.colSpan, 0);
}

function sortBy(head) {
  const table = head.closest("table"), body = table.tBodies[0], column = columnOf(head);
  const value = (row) => {
    const found = row.cells[column].dataset.v;
    return found === undefined || found === "" ? null : isNaN(found) ? found : Number(found);
  };
  const rows = [...body.rows];
  const words = rows.some((row) => typeof value(row) === "string");
  const before = head.getAttribute("aria-sort");
  const up = before === "none" ? words : before === "descending";
  all("th[aria-sort]", table).forEach((one) => one.setAttribute("aria-sort", "none"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const compare = (a, b) => (words ? String(a).localeCompare(String(b)) : a - b);
  rows.sort((left, right) => {
    const a = value(left), b = value(right);
    if (a === null || b === null) return (a === null) - (b === null);
    return up ? compare(a, b) : compare(b, a);
  });
  body.append(...rows);
  say(`sorted by ${head.querySelector("button").title.replace("sort by ", "")}, ${up ? "ascending" : "descending"}`);
}

// --- one group only: hides whatever carries another group's name, in tables and charts alike
function filter(button) {
  const wanted = button.dataset.filter;
  press(button, "[data-filter]");
  all("[data-group]").forEach((one) => {
    const away = wanted !== "" && one.dataset.group !== wanted;
    if (one instanceof SVGElement) one.style.display = away ? "none" : "";
    else one.hidden = away;
  });
  say(wanted === "" ? "all groups are shown" : `only ${wanted} is shown`);
}

function press(button, selector) {
  all(selector).forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
}

function choose(button) {
  const name = button.dataset.switch;
  press(button, `[data-switch="${CSS.escape(name)}"]`);
  all(`[data-view="${CSS.escape(name)}"]`).forEach((one) => { one.hidden = one.dataset.is !== button.dataset.to; });
}

// --- commands: the clipboard where it may be used, the old way where not, and at least the selection where neither works
async function copy(button) {
  const code = button.parentNode.querySelector("code");
  let done = false;
  try {
    await navigator.clipboard.writeText(code.textContent);
    done = true;
  } catch {
    const range = document.createRange(), chosen = getSelection();
    range.selectNodeContents(code);
    chosen.removeAllRanges();
    chosen.addRange(range);
    done = document.execCommand("copy");
  }
  button.textContent = done ? "copied" : "selected";
  say(done ? "command copied" : "command selected, copy it with the keyboard");
  setTimeout(() => { button.textContent = "copy"; }, 1600);
}

// --- a number of the table: its row's entry in the section "Rebuild", shown where the reader is
function open(link) {
  const entry = document.getElementById(link.dataset.rebuild), dialog = document.getElementById("rebuild-dialog");
  const box = document.getElementById("rebuild-box"), title = document.createElement("h3"), close = document.createElement("button");
  close.className = "close";
  close.textContent = "\u00d7";
  close.setAttribute("aria-label", "close");
  close.addEventListener("click", () => dialog.close());
  title.textContent = `${entry.querySelector("summary b").textContent} on ${link.dataset.set}`;
  const inside = entry.querySelector(".entry").cloneNode(true);
  all("[data-set]", inside).forEach((one) => one.classList.toggle("chosen", one.dataset.set === link.dataset.set));
  box.replaceChildren(close, title, inside);
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const hit = (selector) => event.target.closest(selector);
  const head = hit("th[aria-sort]"), link = hit("a[data-rebuild]");
  if (head) return sortBy(head);
  if (hit("[data-filter]")) return filter(hit("[data-filter]"));
  if (hit("[data-switch]")) return choose(hit("[data-switch]"));
  if (hit("[data-copy]")) return copy(hit("[data-copy]"));
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    return open(link);
  }
  if (event.target.id === "rebuild-dialog") event.target.close();
});

all("figure .legend li[data-series]").forEach((entry) => {
  const figure = entry.closest("figure"), same = () => all("[data-series]", figure);
  const show = () => {
    figure.classList.add("faded");
    same().forEach((one) => one.classList.toggle("strong", one.dataset.series === entry.dataset.series));
  };
  const back = () => figure.classList.remove("faded");
  entry.addEventListener("mouseenter", show);
  entry.addEventListener("focus", show);
  entry.addEventListener("mouseleave", back);
  entry.addEventListener("blur", back);
});

// a link from elsewhere to a row's entry opens it
function follow() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
}
addEventListener("hashchange", follow);
follow();
all("[data-switch][aria-pressed=true]").forEach(choose);
