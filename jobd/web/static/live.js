// What the page does beyond links and forms: parts that changed are put in place while it is open, and ticks are counted.
// Without this file every page still shows and does everything.
"use strict";

const live = document.body.dataset.live;
const pulse = document.getElementById("pulse");
const trouble = document.getElementById("trouble");
const shown = new Map();

function put(id, html) {
  const place = document.getElementById(id);
  if (!place || shown.get(id) === html) return;
  shown.set(id, html);
  const held = document.activeElement && place.contains(document.activeElement) ? document.activeElement : null;
  const typed = held && held.matches("input:not([type=checkbox]), textarea, select");
  const selection = document.getSelection();
  const marked = selection && !selection.isCollapsed && place.contains(selection.anchorNode);
  // Not under the hands of who types or marks there: the next change comes through when they are done.
  if (typed || marked) { shown.delete(id); return; }
  const at = held ? [...place.querySelectorAll("a, button, summary, [tabindex]")].indexOf(held) : -1;
  const label = held ? held.textContent : "";
  const scrolls = [...place.querySelectorAll(".table-wrap, pre")].map((box) => [box.scrollLeft, box.scrollTop]);
  const open = new Map([...place.querySelectorAll("details[id]")].map((fold) => [fold.id, fold.open]));
  place.innerHTML = html;
  for (const fold of place.querySelectorAll("details[id]")) if (open.has(fold.id)) fold.open = open.get(fold.id);
  [...place.querySelectorAll(".table-wrap, pre")].forEach((box, i) => {
    if (scrolls[i]) [box.scrollLeft, box.scrollTop] = scrolls[i];
  });
  if (at >= 0) {
    const all = [...place.querySelectorAll("a, button, summary, [tabindex]")];
    const same = all[at] && all[at].textContent === label ? all[at] : all.find((one) => one.textContent === label);
    if (same) same.focus({ preventScroll: true });
  }
}

// What is wrong, and since when what is shown is old: a page that stands still must not pass for one that is up to date.
let wrong = "";
let seen = Date.now();
let asked = true;

function age() {
  const seconds = Math.max(0, Math.round((Date.now() - seen) / 1000));
  return seconds < 60 ? `${seconds}s` : seconds < 3600 ? `${Math.floor(seconds / 60)}m` : `${Math.floor(seconds / 3600)}h`;
}

function beat() {
  pulse.className = asked && !wrong ? "pulse pulse-on" : "pulse pulse-off";
  pulse.textContent = asked && !wrong ? "live" : `seen ${age()} ago`;
}

function say(text) {
  if (wrong !== text) {
    wrong = text;
    trouble.textContent = text;
    trouble.hidden = !text;
  }
  beat();
}

if (live && window.EventSource) {
  pulse.textContent = "connecting…";
  const source = new EventSource(live);
  source.addEventListener("open", () => { asked = true; seen = Date.now(); say(""); });
  source.addEventListener("parts", (event) => {
    seen = Date.now();
    for (const [id, html] of Object.entries(JSON.parse(event.data))) put(id, html);
  });
  source.addEventListener("trouble", (event) => {
    const text = JSON.parse(event.data);
    if (text && !wrong) seen = Date.now();
    say(text);
  });
  source.addEventListener("error", () => {
    if (asked) seen = Date.now();
    asked = false;
    say("The connection to jobd web is lost; what is shown is not up to date. Trying again.");
  });
  setInterval(beat, 1000);
  window.addEventListener("pagehide", () => source.close());
}

const ticks = () => [...document.querySelectorAll("input[name=id_ticked][type=checkbox]")];
const all = document.getElementById("tick-all");
function count() {
  const ticked = ticks().filter((box) => box.checked).length;
  const place = document.getElementById("ticked-count");
  if (place) place.textContent = ` (${ticked})`;
  if (all) {
    all.checked = ticked > 0 && ticked === ticks().length;
    all.indeterminate = ticked > 0 && !all.checked;
  }
}
if (all) {
  all.hidden = false;
  all.addEventListener("change", () => { for (const box of ticks()) box.checked = all.checked; count(); });
  document.addEventListener("change", (event) => { if (event.target.name === "id_ticked") count(); });
  count();
}

// A change is sent once, however often the button is pressed. Coming back to the page makes it pressable again.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
