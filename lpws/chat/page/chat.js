// The page: people, messages, and how things stand. Whatever somebody typed is put in as text only.

import { Clock } from "./clock.js";
import { Journal, median } from "./journal.js";
import { Listener, Refusal, within } from "./listener.js";
import { Outbox, secret } from "./outbox.js";
import { Strip } from "./strip.js";
import { TRANSPORTS } from "./transports.js";
import { Windows, crowding } from "./windows.js";

const $ = (id) => document.getElementById(id);
const SHOWN = 1000; // messages that the page keeps in sight
const LISTED = 100; // people
const PAUSE_MS = 50; // between two layouts
const STORE = `room ${location.pathname}`; // a hub has all rooms at one origin
const me = { secret: secret(), name: null, number: null, again: false };
const people = new Map(); // number → {name, by}
const clock = new Clock();
const journal = new Journal(clock, inNextFrame(showCounts));
let entered = Infinity; // when this page came in, on the server's clock [s]

// ---------------------------------------------------------------------------- to the server

/** What the server answers to this object, posted. */
async function send(path, letter, signal) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(letter),
    signal: within(listener.times.timeout_s, signal),
  });
  if (!response.ok) throw await Refusal.of(response);
  return [await response.json(), response];
}

async function time(signal) {
  const response = await fetch("clock", {
    cache: "no-store",
    signal: within(listener.times.timeout_s, signal),
  });
  if (!response.ok) throw await Refusal.of(response);
  return (await response.json()).now;
}

async function enter(by, signal) {
  // A computer that slept has a clock that stood still.
  await clock.set(() => time(signal), clock.error === Infinity ? 8 : 2);
  if (me.again) {
    // The page was loaded anew, and hears everything again: to the room it is as if it came again.
    await send("leave", { secret: me.secret }, signal);
    me.again = false;
  }
  const [answer] = await send("enter", { secret: me.secret, name: me.name, by }, signal);
  me.number = journal.client = answer.client;
  rename(answer.name);
  if (answer.people.length) people.clear(); // the room has forgotten that some of these came
  for (const { who, name, by } of answer.people) people.set(who, { name, by });
  moved = true;
  if (entered === Infinity) entered = clock.now();
  return answer;
}

/** What became of messages that were said: the ids of the first of them, which the room took. */
async function deliver(said) {
  if (me.number === null) throw new Error("not in the room yet");
  const letter = { secret: me.secret, said };
  if (!listener.send) return post(letter);
  const answer = await listener.send(JSON.stringify(letter));
  if (answer.status) throw new Refusal(answer.status, answer.wait);
  return answer;
}

async function post(letter) {
  const request = journal.begin("post");
  try {
    const [answer, response] = await send(`post?ticket=${listener.ticket}&request=${request.number}`, letter);
    journal.connected(request, Number(response.headers.get("Lpws-Connection")));
    listener.reload(); // who posts a form gets the page anew
    return answer;
  } catch (error) {
    request.failed = !(error instanceof Refusal); // which is an answer
    throw error;
  } finally {
    journal.end(request);
  }
}

const listener = new Listener({ journal, enter, hear, lost, state });
const outbox = new Outbox({
  deliver,
  line: listener,
  changed: waits,
  refused: ({ text }) => note(`The room does not take “${text.slice(0, 40)}”.`),
  strange: () => listen(chosen()),
  slowed,
});

const windows = new Windows((n) => ($("crowd").textContent = crowding(n)));

async function report() {
  const key = secret();
  const events = journal.report();
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      return await send("report", { secret: me.secret, key, events });
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
}

// ------------------------------------------------------------------------------- what comes

function hear(message) {
  if (message.kind === "said") said(message);
  else if (message.kind === "came") came(message);
  else if (message.kind === "left") left(message);
  else if (message.kind === "report") report();
}

function lost(n) {
  const what = n === 1 ? "message" : "messages";
  add(line("note", listener.cursor, `${n.toLocaleString("en")} older ${what} the room does not keep any more`));
}

function said({ who, name, by, text, key, typed, at, id }) {
  const mine = who === me.number;
  const now = clock.now();
  if (mine) outbox.seen(key);
  const row = line(mine ? "said mine" : "said", id);
  row.dataset.by = by;
  row.dataset.key = key;
  const author = element("span", "author", name);
  author.title = `by ${by}`;
  const body = element("span", "text", text);
  body.dir = "auto";
  row.append(author, body);
  if (at >= entered) {
    const age = element("span", "age", duration(now - typed));
    age.dataset.s = now - typed;
    age.title = `Typed ${duration(at - typed)} before the server had it, here ${duration(now - at)} later. `
      + `The clocks agree to ${duration(clock.error)}.`;
    row.append(element("span", "unseen", mine ? ", there and back " : ", on arrival "), age);
    if (!mine) journal.ages.push(now - typed);
  } else {
    row.append(element("span", "age", "earlier"));
  }
  add(row);
}

function came({ who, name, by, id }) {
  const before = people.get(who);
  people.set(who, { name, by });
  moved = true;
  const way = by === "reload" ? "reloading" : by;
  if (!before) add(line("note", id, Object.hasOwn(TRANSPORTS, by) ? `${name} came in, by ${way}` : `${name} is here`));
  else if (before.name !== name) add(line("note", id, `${before.name} is now ${name}`));
  else if (before.by !== by) add(line("note", id, `${name} now listens by ${way}`));
}

function left({ who, name, id }) {
  people.delete(who);
  moved = true;
  add(line("note", id, `${name} has gone`));
}

// ----------------------------------------------------------------------------- what is shown

function element(tag, kind, text = "") {
  const made = document.createElement(tag);
  made.className = kind;
  made.textContent = text;
  return made;
}

function line(kind, id, text) {
  const row = element("li", kind, text);
  row.dataset.id = id;
  return row;
}

function duration(seconds) {
  const ms = 1000 * Math.max(seconds, 0);
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 995) return `${ms.toFixed(0)} ms`;
  return seconds < 99.5 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds / 60)} min`;
}

const atEnd = () => $("scroll").scrollHeight - $("scroll").scrollTop - $("scroll").clientHeight < 60;
const toEnd = () => $("scroll").scrollTo({ top: $("scroll").scrollHeight });

/**
 * The same, but done in the next frame, once for however many calls, and not much more often than one
 * can see: a crowd of messages costs a few layouts a second, and a single one appears at once.
 */
function inNextFrame(act) {
  let asked = false, done = -Infinity;
  const frame = () => requestAnimationFrame((now) => {
    asked = false;
    done = now;
    act();
  });
  return () => {
    if (!asked) setTimeout(frame, Math.max(0, done + PAUSE_MS - performance.now()));
    asked = true;
  };
}

const rows = [];
let moved = false; // whether somebody came or went
const soon = inNextFrame(paint);

function add(row) {
  rows.push(row);
  soon();
}

function paint() {
  const follow = atEnd() || rows.some((row) => row.classList.contains("mine"));
  const added = rows.length;
  $("log").append(...rows.splice(0));
  while ($("log").childElementCount > SHOWN) $("log").firstElementChild.remove();
  $("empty").hidden = $("log").childElementCount > 0;
  showWaiting();
  if (moved) showPeople();
  moved = false;
  if (follow) toEnd();
  else if (added) $("newer").hidden = false;
}

const onTheWay = new Map(); // message → its row

function showWaiting() {
  for (const [message, row] of onTheWay) {
    if (outbox.waiting.includes(message)) continue;
    row.remove();
    onTheWay.delete(message);
  }
  for (const message of outbox.waiting) {
    if (onTheWay.has(message)) continue;
    const row = element("li", "said mine");
    const body = element("span", "text", message.text);
    body.dir = "auto";
    row.append(body, element("span", "age", "on its way"));
    onTheWay.set(message, row);
    $("waiting").append(row);
  }
}

function showPeople() {
  const some = Array.from(people).slice(0, LISTED);
  $("here").replaceChildren(...some.map(([number, { name, by }]) => {
    const row = element("li", "person");
    row.dataset.by = by;
    row.append(element("bdi", "", name), element("span", "way", by));
    if (number === me.number) row.append(element("span", "you", "you"));
    return row;
  }));
  $("here-title").textContent = `Here now: ${people.size}`;
}

function showCounts() {
  const { ages, asked, bytes, connections } = journal;
  const some = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
  if (!asked) return; // it says so
  const parts = [some(connections.size, "connection"), some(asked, "request")];
  if (bytes) parts.push(`${(bytes / 1000).toFixed(1)} kB of answers`);
  if (ages.length) parts.push(`${some(ages.length, "message")}, at the median ${duration(median(ages))} old`);
  if (clock.error < Infinity) parts.push(`clock set to ± ${duration(clock.error)}`);
  $("counts").textContent = parts.join(" · ");
}

function note(text) {
  $("note").textContent = text;
}

let slow = false; // whether the reader was told to be

function slowed({ pace_s }) {
  if (slow) return;
  slow = true;
  note(`That was quick: the room takes ${+(1 / pace_s).toFixed(1)} messages a second from each. `
    + "The others follow by themselves.");
}

function waits() {
  if (slow && !outbox.waiting.length) note("");
  slow &&= outbox.waiting.length > 0;
  soon();
}

function state(name, wait, why) {
  const { dataset } = document.documentElement;
  if (name === "here") {
    if (dataset.state === "here") return;
    note("");
    outbox.hurry();
  }
  dataset.state = name;
  $("state-text").textContent = {
    here: "In the room",
    away: navigator.onLine ? `Connection lost; trying again within ${duration(wait)}` : "You are offline",
    full: `The room is full; trying again within ${duration(wait)}`,
    refused: "Not let in",
    closed: "This room is closed",
    coming: "Coming in …",
  }[name];
  $("hurry").hidden = name !== "away" && name !== "full";
  if (name === "closed") note("The notebook has closed this room. Run its cell again for a new one.");
  if (name === "refused") {
    note(`The room does not accept this: ${why}`);
    askName(); // it is all that the reader can say otherwise
  }
}

// ---------------------------------------------------------------------- what the reader does

function rename(name) {
  me.name = name;
  $("me").textContent = name;
  keep("name", name);
}

/** Keep a text for this tab, past a reload; some browsers keep nothing for a frame. */
function keep(key, text) {
  try {
    sessionStorage.setItem(key, text);
  } catch { /* then a reload makes a newcomer */ }
}

/** What was kept. */
function kept(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

/**
 * Be who this page was before it was loaded anew. Its secret lies in the store only while no page has it:
 * a window that is opened from this one gets a copy of the store, and must not become the same person.
 */
function remember() {
  try {
    const { secret, asked } = JSON.parse(kept(STORE));
    Object.assign(me, { secret, again: true });
    journal.continue(asked);
  } catch {
    return; // there is nothing
  }
  keep(STORE, "null");
}

function comeIn(name) {
  me.name = name;
  $("door").hidden = true;
  $("speak").hidden = false;
  $("text").focus({ preventScroll: true });
  if (me.number === null) state("coming");
  listen(chosen());
}

function listen(by) {
  windows.hold(by === "SSE" || by === "long polling");
  listener.choose(by);
}

function askName() {
  $("door").hidden = false;
  $("speak").hidden = true;
  $("name").value = me.name;
  $("name").focus();
  $("name").select();
}

function chosen() {
  return new FormData($("ways")).get("by");
}

function choose(by) {
  const known = Object.hasOwn(TRANSPORTS, by) ? by : "WebSocket";
  for (const radio of $("ways").elements.by) radio.checked = radio.value === known;
  document.documentElement.dataset.by = known;
  $("says").textContent = TRANSPORTS[known].says;
  $("interval").hidden = known !== "short polling";
  $("reload").hidden = known !== "reload";
  if (me.name !== null) listen(known);
}

for (const by of Object.keys(TRANSPORTS)) {
  const label = element("label", "way");
  const radio = element("input", "");
  Object.assign(radio, { type: "radio", name: "by", value: by });
  label.dataset.by = by;
  label.append(radio, element("span", "", by));
  document.querySelector(".ways").append(label);
}

$("ways").addEventListener("change", ({ target }) => {
  if (target.name === "by") choose(target.value);
  else listener.interval = Number(target.value);
});
$("ways").addEventListener("submit", (event) => event.preventDefault());
$("reload").addEventListener("click", () => listener.reload());
$("hurry").addEventListener("click", () => {
  listener.hurry();
  outbox.hurry();
});
$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim();
  if (name) comeIn(name);
});
$("rename").addEventListener("click", askName);
$("speak").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  if (!slow) note("");
  outbox.say(text, clock.now());
  $("text").value = "";
});
$("newer").addEventListener("click", toEnd);
$("scroll").addEventListener("scroll", () => {
  if (atEnd()) $("newer").hidden = true;
});
addEventListener("online", () => {
  listener.hurry();
  outbox.hurry();
});
addEventListener("pagehide", () => {
  listener.stop();
  windows.hold(false);
  if (me.number !== null) keep(STORE, JSON.stringify({ secret: me.secret, asked: journal.numbers }));
  const goodbye = new Blob([JSON.stringify({ secret: me.secret })], { type: "application/json" });
  if (me.number !== null) navigator.sendBeacon("leave", goodbye);
});
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) keep(STORE, "null");
  if (persisted && me.name !== null) listen(chosen());
});

new Strip($("strip"), journal);

// An address may name a guest, who then comes in at once: …/#name=Ada&by=SSE
const wish = new URLSearchParams(location.hash.slice(1));
choose(wish.get("by") ?? "WebSocket");
remember();
if (wish.get("name")) comeIn(wish.get("name").slice(0, 24));
else $("name").value ||= kept("name") ?? ""; // somebody may have typed before this script was here
$("enter").disabled = false; // who pressed it earlier would not have come in
