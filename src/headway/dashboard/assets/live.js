// What pages gain by script: the reader's clock, live parts, acts without a reload, keys. Without it every page can be read
// and every act be done. No text of a page is ever read as markup: parts come from the server, escaped there.

const reduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
const base = document.documentElement.dataset.base ?? "";

// --- times and numbers in the reader's zone and habit -----------------------------------------------------------------

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const STEPS = [["day", 86400000], ["hour", 3600000], ["minute", 60000], ["second", 1000]];

function ago(at) {
  const away = at - Date.now();
  const [unit, ms] = STEPS.find(([, size]) => Math.abs(away) >= size) ?? ["second", 1000];
  return relative.format(Math.trunc(away / ms), unit);
}

function tellTimes(root) {
  for (const one of root.querySelectorAll("[data-at]")) {
    const at = Number(one.dataset.at);
    if (!Number.isFinite(at)) continue;
    const told = one.dataset.as === "axis" ? clock.format(at) : one.dataset.as === "full" ? full.format(at) : ago(at);
    if (one.textContent !== told) one.textContent = told;
    if (!one.title && one.dataset.as !== "axis") one.title = full.format(at);
  }
}

// --- live parts ---------------------------------------------------------------------------------------------------------

// A part keeps still while somebody points into it or works in it: it is laid anew when they leave.
function busy(part) {
  return part.matches(":hover:has(tr)") || part.contains(document.activeElement) && document.activeElement !== document.body
    || part.querySelector("details[open].ask, input:checked") !== null;
}

// Put what changed in the place of what was, row by row, so that the rest keeps its place, its focus and its selection.
function lay(old, fresh) {
  const before = new Map([...old.querySelectorAll("[data-key]")].map((one) => [one.dataset.key, one]));
  for (const one of fresh.querySelectorAll("[data-key]")) {
    const known = before.get(one.dataset.key);
    if (known && known.outerHTML === one.outerHTML) one.replaceWith(known);
  }
  for (const one of fresh.querySelectorAll("details[id]")) {
    if (document.getElementById(one.id)?.open) one.open = true;
  }
  old.replaceChildren(...fresh.childNodes);
  tellTimes(old);
  old.dispatchEvent(new CustomEvent("laid", { bubbles: true }));
}

const waiting = new Set();

async function refresh(part, force = false) {
  if (!force && busy(part)) {
    waiting.add(part);
    return;
  }
  waiting.delete(part);
  const answer = await fetch(part.dataset.part || location.href, {
    headers: { "Headway-Part": part.id, Accept: "text/html" },
    credentials: "same-origin",
  });
  if (answer.redirected || answer.status === 401) return location.reload();
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
  if (fresh && document.contains(part)) lay(part, fresh);
}

const refreshAll = (force) => Promise.all([...document.querySelectorAll("[data-part]")].map((part) => refresh(part, force)));

let source = null;
let due = null;

function showLive(state) {
  for (const one of document.querySelectorAll(".live")) {
    one.dataset.state = state;
    one.textContent = { on: "live", off: "not connected: trying again", still: "paused" }[state];
  }
}

// One look a second at most, however much happens.
function changed() {
  due ??= setTimeout(() => {
    due = null;
    refreshAll(false).then(() => showLive("on"), () => showLive("off"));
  }, 1000);
}

function listen() {
  if (source || document.hidden || !document.querySelector("[data-part]")) return;
  source = new EventSource(`${base}/live`);
  source.onopen = () => { showLive("on"); changed(); };
  source.addEventListener("changed", changed);
  source.onerror = () => {
    showLive("off");
    if (source?.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(listen, 3000);
    }
  };
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    source = null;
    showLive("still");
  } else listen();
});
document.addEventListener("pointerout", (event) => {
  for (const part of waiting) if (!part.contains(event.relatedTarget)) refresh(part).catch(() => showLive("off"));
});

// --- acts ---------------------------------------------------------------------------------------------------------------

function say(text, tone) {
  const box = document.querySelector(".toasts");
  if (!box) return;
  const one = document.createElement("p");
  one.className = `message tone-${tone}`;
  one.textContent = text;
  box.append(one);
  setTimeout(() => one.remove(), tone === "bad" ? 15000 : 6000);
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("form[method=post][data-act]")) return;
  event.preventDefault();
  const buttons = form.querySelectorAll("button");
  const body = new URLSearchParams(new FormData(form, event.submitter));
  buttons.forEach((one) => { one.disabled = true; });
  try {
    const answer = await fetch(form.action, {
      method: "POST", body, credentials: "same-origin", headers: { Accept: "application/json" },
    });
    const told = await answer.json().catch(() => ({}));
    if (told.location) return void location.assign(told.location);
    say(told.said ?? told.detail ?? `The server answered ${answer.status}; nothing is known to have been done.`, answer.ok ? "good" : "bad");
    form.closest("details.ask")?.removeAttribute("open");
    await refreshAll(true);
  } catch {
    say("The server did not answer: it is not known whether this was done. Look, then try again.", "bad");
  } finally {
    buttons.forEach((one) => { one.disabled = false; });
  }
});

// Marking rows: the head's box marks all, the count is told, and the acts on marked ones appear.
document.addEventListener("change", (event) => {
  const table = event.target.closest("form[data-marks]");
  if (!table) return;
  const boxes = [...table.querySelectorAll("tbody input[type=checkbox]")];
  if (event.target.dataset.all !== undefined) boxes.forEach((one) => { one.checked = event.target.checked; });
  const marked = boxes.filter((one) => one.checked).length;
  for (const one of table.querySelectorAll("[data-marked]")) one.textContent = String(marked);
  for (const one of table.querySelectorAll("[data-when-marked]")) one.hidden = marked === 0;
});

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.ask[open]")) if (!open.contains(event.target)) open.open = false;
  if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
});

// --- charts: the values below the pointer ----------------------------------------------------------------------------------

document.addEventListener("pointermove", (event) => {
  const svg = event.target.closest?.("svg[data-points]");
  for (const one of document.querySelectorAll(".chart .read, .chart .cursor")) if (!svg?.parentNode.contains(one)) one.remove();
  if (!svg) return;
  const { at, series, frame: [left, top, right, bottom] } = JSON.parse(svg.dataset.points);
  const box = svg.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
  const n = Math.max(0, Math.min(at.length - 1, Math.round((x - left) / (right - left) * (at.length - 1))));
  let cursor = svg.querySelector(".cursor");
  if (!cursor) {
    cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    cursor.setAttribute("class", "cursor");
    svg.append(cursor);
  }
  const place = String(left + n / Math.max(1, at.length - 1) * (right - left));
  for (const [name, value] of [["x1", place], ["x2", place], ["y1", top], ["y2", bottom]]) cursor.setAttribute(name, value);
  let read = svg.parentNode.querySelector(".read");
  if (!read) {
    read = document.createElement("div");
    read.className = "read";
    svg.parentNode.append(read);
  }
  const rows = svg.parentNode.querySelectorAll(".numbers tbody tr")[n]?.querySelectorAll("td") ?? [];
  read.textContent = [clock.format(at[n]), ...series.map((one, k) => `${one.name} ${rows[k]?.textContent || "–"}`)].join("  ·  ");
});

// --- keys -----------------------------------------------------------------------------------------------------------------

let chord = 0;
const typing = (target) => target.matches("input, select, textarea, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    for (const open of document.querySelectorAll("details.ask[open]")) open.open = false;
    return;
  }
  if (typing(event.target)) return;
  if (event.key === "?") document.getElementById("keys")?.showModal();
  else if (event.key === "/") {
    const field = document.querySelector(".filters input");
    if (field) { event.preventDefault(); field.focus(); }
  } else if (event.key === "g") chord = Date.now();
  else if (Date.now() - chord < 1500) {
    chord = 0;
    document.querySelector(`nav a[data-go="${CSS.escape(event.key)}"]`)?.click();
  } else if (event.key === "j" || event.key === "k") {
    const rows = [...document.querySelectorAll("tbody tr[data-key]")];
    const here = rows.findIndex((row) => row.contains(document.activeElement));
    const next = rows[Math.max(0, Math.min(rows.length - 1, here + (event.key === "j" ? 1 : -1)))];
    next?.querySelector("a, button, input")?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest", behavior: reduced() ? "auto" : "smooth" });
  }
});

// --- the start ------------------------------------------------------------------------------------------------------------

document.documentElement.dataset.script = "";
document.querySelector("[data-mode-choice] select")?.addEventListener("change", (event) => event.target.form.requestSubmit());
tellTimes(document);
setInterval(() => { if (!document.hidden) tellTimes(document); }, 10000);
listen();
