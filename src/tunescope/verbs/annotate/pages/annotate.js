"use strict";
// One item's page. Texts are counted in characters (code points): a badge stands for one, whatever it shows.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const status = at("status"), note = at("note"), sources = at("sources");
let marks = data.marks, chosen = data.kind === "spans" ? null : marks[0] || null;

document.getElementById("previous").href = data.previous;
document.getElementById("next").href = data.next;

function tell(sentence, bad = false) {
  status.textContent = sentence;
  status.classList.toggle("bad", bad);
}

// ---- What is sent: one after the other, and again until the server has it.
let sending = Promise.resolve(), unsent = 0;
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function post(address, body) {
  for (let pause = 500; ; pause = Math.min(2 * pause, 8000)) {
    try {
      const reply = await fetch(address, {
        method: "POST",
        headers: { "content-type": "application/json", "x-csrf-token": data.csrf },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(10000),
      });
      if (reply.status < 500) return { ok: reply.ok, body: await reply.json() };
    } catch { /* the server is away; the same version sent twice is kept once */ }
    tell("Not saved yet: the server doesn't answer. Trying again …", true);
    await wait(pause);
  }
}

function send(address, makeBody, then) {
  unsent += 1;
  sending = sending.then(async () => {
    const { ok, body } = await post(address, makeBody());
    unsent -= 1;
    if (ok) { then(body); if (!unsent) tell("Saved."); }
    else tell(`Not saved: ${body.error}`, true);
    return ok;
  });
  return sending;
}

function save(mark, deleted = false) {
  tell("Saving …");
  return send(`${data.base}/mark`,
    () => ({ mark_id: mark.mark_id, base: mark.version, value: mark.value, note: mark.note, sources: mark.sources, deleted }),
    (body) => { mark.mark_id = body.mark_id; mark.version = body.version; if (data.review) mark.reviewer = "reviewer"; });
}

addEventListener("beforeunload", (event) => { if (unsent || typing) event.preventDefault(); });

// ---- Texts as cells.
function cellsOf(element) {
  const cells = [];
  for (const node of element.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) for (const character of node.data) cells.push({ text: character });
    else cells.push({ text: "\ufffd", badge: node.textContent });
  }
  return cells;
}

function draw(element, cells, stretches) {
  const edges = [...new Set([0, cells.length, ...stretches.flatMap(({ start, end }) => [start, end])])].sort((a, b) => a - b);
  element.replaceChildren();
  for (let i = 0; i + 1 < edges.length; i += 1) {
    const over = stretches.filter(({ start, end }) => start <= edges[i] && end >= edges[i + 1]);
    let parent = element;
    if (over.length) {
      parent = document.createElement("mark");
      const last = over[over.length - 1];
      parent.className = `c${Math.min(last.category + 1, 4)}${over.length > 1 ? " many" : ""}${over.some((each) => each.chosen) ? " chosen" : ""}`;
      element.append(parent);
    }
    let run = "";
    const flush = () => { if (run) parent.append(run); run = ""; };
    for (const cell of cells.slice(edges[i], edges[i + 1])) {
      if (cell.badge === undefined) { run += cell.text; continue; }
      flush();
      parent.append(badgeOf(cell.badge));
    }
    flush();
  }
}

// A place in the drawn text, and back.
function leaves(root) {
  const found = [];
  const visit = (node) => {
    if (node.nodeType === Node.TEXT_NODE) found.push(node);
    else if (node.className === "badge") found.push(node);
    else node.childNodes.forEach(visit);
  };
  root.childNodes.forEach(visit);
  return found;
}

const size = (leaf) => (leaf.nodeType === Node.TEXT_NODE ? [...leaf.data].length : 1);

// A place inside of a badge counts as before it where a selection begins, and as behind it where one ends.
function cellAt(element, node, offset, ends) {
  const before = document.createRange();
  const badge = (node.nodeType === Node.TEXT_NODE ? node.parentElement : node).closest(".badge");
  before.setStart(element, 0);
  if (!badge) before.setEnd(node, offset);
  else if (ends && offset) before.setEndAfter(badge);
  else before.setEndBefore(badge);
  return leaves(before.cloneContents()).filter((leaf) => leaf.nodeType !== Node.TEXT_NODE || leaf.data).map(size).reduce((a, b) => a + b, 0);
}

function locate(element, cell) {
  let left = cell;
  for (const leaf of leaves(element)) {
    const length = size(leaf);
    if (left <= length) {
      if (leaf.nodeType === Node.TEXT_NODE) return [leaf, [...leaf.data].slice(0, left).join("").length];
      const place = [...leaf.parentNode.childNodes].indexOf(leaf);
      return [leaf.parentNode, place + left];
    }
    left -= length;
  }
  return [element, element.childNodes.length];
}

// ---- Spans.
const answer = at("answer-1");
const cells = cellsOf(answer);
let words = null, cursor = null;

function wordsOf() {
  if (words) return words;
  const text = cells.map((cell) => cell.text).join("");
  const toCell = [];
  cells.forEach((cell, place) => { for (let i = 0; i < cell.text.length; i += 1) toCell.push(place); });
  words = [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)]
    .filter(({ segment }) => segment.trim())
    .map(({ index, segment }) => ({ start: toCell[index], end: toCell[index + segment.length - 1] + 1 }));
  return words;
}

function selected() {
  const selection = getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return null;
  const range = selection.getRangeAt(0);
  if (!range.intersectsNode(answer)) return null;
  const inside = (node) => answer.contains(node);
  const start = inside(range.startContainer) ? cellAt(answer, range.startContainer, range.startOffset, false) : 0;
  const end = inside(range.endContainer) ? cellAt(answer, range.endContainer, range.endOffset, true) : cells.length;
  return end > start ? { start, end } : null;
}

function select(start, end) {
  getSelection().setBaseAndExtent(...locate(answer, start), ...locate(answer, end));
}

function step(by, extend) {
  const all = wordsOf();
  if (!all.length) return;
  const clamp = (place) => Math.max(0, Math.min(all.length - 1, place));
  const now = selected();
  if (!now) cursor = null;
  if (cursor && now && (now.start !== cursor.start || now.end !== cursor.end)) cursor = null;
  if (!cursor && now) {
    const first = clamp(all.findIndex((word) => word.end > now.start));
    const last = all.findLastIndex((word) => word.start < now.end);
    cursor = { anchor: first, focus: Math.max(first, last) };
  }
  if (!cursor) cursor = { anchor: 0, focus: 0 };
  else {
    cursor.focus = clamp(cursor.focus + by);
    if (!extend) cursor.anchor = cursor.focus;
  }
  const [a, b] = [Math.min(cursor.anchor, cursor.focus), Math.max(cursor.anchor, cursor.focus)];
  [cursor.start, cursor.end] = [all[a].start, all[b].end];
  select(cursor.start, cursor.end);
  tell(`Selected: ${excerpt(cursor.start, cursor.end)}`);
}

function nudge(by) {
  const now = selected();
  if (!now) return;
  const end = Math.max(now.start + 1, Math.min(cells.length, now.end + by));
  select(now.start, end);
  tell(`Selected: ${excerpt(now.start, end)}`);
}

function excerpt(start, end) {
  const text = cells.slice(start, end).map((cell) => cell.badge || cell.text).join("");
  return text.length > 80 ? `${text.slice(0, 60)} … ${text.slice(-15)}` : text;
}

function drawSpans() {
  const stretches = marks.map((mark) => ({ ...mark.value, category: data.categories.indexOf(mark.value.category), chosen: mark === chosen }));
  const kept = selected();
  draw(answer, cells, stretches);
  if (kept) select(kept.start, kept.end);
  const list = at("marks");
  list.replaceChildren();
  const ordered = [...marks].sort((a, b) => a.value.start - b.value.start || a.value.end - b.value.end);
  for (const mark of ordered) {
    const entry = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.dir = "auto";
    button.setAttribute("aria-pressed", mark === chosen);
    button.textContent = `${mark.value.category}: “${excerpt(mark.value.start, mark.value.end)}”${mark.reviewer ? " (corrected)" : ""}`;
    button.addEventListener("click", () => { choose(mark === chosen ? null : mark); });
    entry.append(button);
    list.append(entry);
  }
  at("delete").disabled = at("move").disabled = !chosen;
  showFields();
}

function choose(mark) {
  flushTyping();
  chosen = mark;
  drawSpans();
  if (mark) tell(`Chosen: ${mark.value.category}, “${excerpt(mark.value.start, mark.value.end)}”`);
}

function chooseBeside(by) {
  const ordered = [...marks].sort((a, b) => a.value.start - b.value.start || a.value.end - b.value.end);
  if (!ordered.length) return;
  const place = ordered.indexOf(chosen);
  choose(ordered[place < 0 ? (by > 0 ? 0 : ordered.length - 1) : (place + by + ordered.length) % ordered.length]);
}

function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function markSpan(category) {
  const now = selected();
  if (now && !data.review) {
    const mark = { mark_id: newId(), version: 0, value: { ...now, category }, note: "", sources: "", original: null, reviewer: null };
    marks.push(mark);
    getSelection().removeAllRanges();
    cursor = null;
    choose(mark);
    save(mark);
  } else if (chosen) {
    chosen.value = { ...chosen.value, category };
    save(chosen);
    drawSpans();
  } else tell(data.review ? "Choose a mark first. Marks of your own have a page of their own." : "Select words of the answer first.", true);
}

function deleteSpan() {
  if (!chosen) return;
  const gone = chosen;
  flushTyping();
  marks = marks.filter((mark) => mark !== gone);
  choose(null);
  save(gone, true);
}

function moveSpan() {
  const now = selected();
  if (!chosen || !now) { tell("Choose a mark, and select words of the answer.", true); return; }
  chosen.value = { ...chosen.value, ...now };
  save(chosen);
  drawSpans();
}

// ---- Kinds with one mark an item.
function single() {
  if (!chosen) {
    chosen = { mark_id: null, version: 0, value: {}, note: note.value, sources: sources.value, original: null, reviewer: null };
    marks.push(chosen);
  }
  return chosen;
}

const choices = [...document.querySelectorAll(".choice")];
const valueOf = (button) => (data.kind === "verdicts" ? { side: button.dataset.choice } : { category: data.categories[button.dataset.choice] });

function pick(button) {
  if (data.kind === "spans") { markSpan(data.categories[button.dataset.choice]); return; }
  single().value = valueOf(button);
  drawSingle();
  save(chosen);
}

const aspects = [...document.querySelectorAll(".aspect")];
let aspect = 0;

function score(place, number) {
  const name = data.aspects[place];
  single().value = { scores: { ...chosen.value.scores, [name]: number } };
  aspect = Math.min(place + 1, aspects.length - 1);
  drawSingle();
  save(chosen);
}

const rowInputs = [...document.querySelectorAll("#rows input[type=radio]")];
const concept = at("concept"), rewordings = at("rewordings");

function readCause() {
  const picked = rowInputs.find((input) => input.checked);
  if (!picked) { tell("Pick a row, or none, first.", true); return false; }
  single().value = {
    row_id: picked.value === "none" ? null : data.rows[picked.value],
    concept: concept.value,
    rewordings: [...rewordings.children].filter(isTried).map((box) => {
      if (box.tried) return { try_id: box.tried.try_id, gone: box.gone };
      const [prompt, reply] = box.querySelectorAll("textarea");
      return { prompt: prompt.value, answer: reply.value, gone: box.gone };
    }),
  };
  return true;
}

// What waits for the model, or got no answer from it, is in the mark once it is answered; an empty box never.
function isTried(box) {
  if (box.tried) return box.tried.answer !== undefined;
  return [...box.querySelectorAll("textarea")].some((field) => field.value.trim());
}

function saveCause() {
  if (readCause()) { drawSingle(); save(chosen); }
}

// A rewording's box: `gone` is true, false or null; `tried` is what a model was asked, `answered` whether it answered.
function addRewording(values = { prompt: "", answer: "", gone: null }, tried = null) {
  const box = document.createElement("div");
  box.className = "rewording";
  Object.assign(box, { gone: values.gone, tried, number: (rewordings.lastElementChild ? rewordings.lastElementChild.number : 0) + 1 });
  rewordings.append(box);
  if (tried) { drawTry(box); return null; }
  const first = addField(box, "Question in other words", values.prompt);
  if (data.model) {
    const ask = addButton(box, "Ask the model", () => askModel(box));
    ask.className = "ask";
    first.maxLength = 4000;
    first.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); askModel(box); } });
  }
  addField(box, "Answer to it", values.answer);
  addVerdict(box);
  return first;
}

function addField(box, label, value) {
  const name = document.createElement("label"), element = document.createElement("textarea");
  name.className = "field";
  name.textContent = `${label} ${box.number}`;
  element.id = `${label.replace(/ .*/, "").toLowerCase()}-${box.number}`;
  name.htmlFor = element.id;
  element.value = value;
  element.dir = "auto";
  element.addEventListener("input", () => typed(saveCause));
  box.append(name, element);
  return element;
}

function addButton(box, text, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", act);
  box.append(button);
  return button;
}

// A text comes in parts: every second one is the name of a character that hides or turns round text.
function addText(box, heading, parts) {
  const name = document.createElement("h3"), element = document.createElement("div");
  name.textContent = heading;
  element.className = "text";
  element.dir = "auto";
  parts.forEach((part, place) => element.append(place % 2 ? badgeOf(part) : part));
  box.append(name, element);
}

function badgeOf(name) {
  const badge = document.createElement("span");
  badge.className = "badge";
  badge.textContent = name;
  return badge;
}

function addVerdict(box) {
  const set = document.createElement("fieldset"), legend = document.createElement("legend");
  legend.textContent = `In answer ${box.number}, the phrase is`;
  set.append(legend);
  for (const [word, gone] of [["kept", false], ["lost", true]]) {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "radio", name: `gone-${box.number}`, value: word, checked: box.gone === gone });
    input.addEventListener("change", () => { box.gone = gone; saveCause(); });
    label.append(input, ` ${word} `);
    set.append(label);
  }
  box.append(set);
}

function drawTry(box) {
  const { tried } = box;
  box.replaceChildren();
  addText(box, `Question in other words ${box.number}`, tried.parts.prompt);
  if (tried.answer !== undefined) {
    addText(box, `Answer of ${tried.parts.model.join(" ")}`, tried.parts.answer);
    const told = document.createElement("p");
    told.textContent = tried.held ? "The phrase's words are in it. Is the phrase kept?" : "The phrase's words aren't in it. Is the phrase lost?";
    box.append(told);
    addVerdict(box);
  } else if (tried.failure !== undefined) {
    addText(box, "No answer", tried.parts.failure);
    if (data.model) addButton(box, "Write it again", () => { box.remove(); focusOn(addRewording({ prompt: tried.prompt, answer: "", gone: null })); });
  } else addText(box, "Waiting for the model", [tried.before ? `${tried.before} before it` : "It is answering."]);
}

async function askModel(box) {
  const prompt = box.querySelector("textarea").value.trim();
  if (!prompt) { tell("Write the question in other words first.", true); return; }
  if (typing) { clearTimeout(typing.timer); typing = null; }
  const button = box.querySelector(".ask");
  if (button.disabled) return;
  button.disabled = true;
  box.try_id = box.try_id || newId();
  tell("Asking …");
  const { ok, body } = await post(`${data.base}/ask`, { try_id: box.try_id, prompt });
  button.disabled = false;
  if (!ok) { tell(`Not asked: ${body.error}`, true); return; }
  box.tried = body.tries.find(({ try_id }) => try_id === box.try_id);
  drawTry(box);
  focusOn(answer);
  tell("Asked. Go on meanwhile; the answer comes by itself.");
  watchTries();
}

let watching = false;
const waits = (box) => box.tried && box.tried.answer === undefined && box.tried.failure === undefined;

async function watchTries() {
  if (watching) return;
  watching = true;
  while ([...rewordings.children].some(waits)) {
    await wait(700);
    let tries;
    try {
      const reply = await fetch(`${data.base}/tries`);
      if (!reply.ok) { tell("The page can't ask for the answers any more. Reload it.", true); break; }
      ({ tries } = await reply.json());
    } catch { continue; }
    for (const box of [...rewordings.children].filter(waits)) {
      box.tried = tries.find(({ try_id }) => try_id === box.tried.try_id) || box.tried;
      drawTry(box);
      if (waits(box)) continue;
      tell(box.tried.answer === undefined ? "The model gave no answer." : "The model has answered.", box.tried.answer === undefined);
      if (box.tried.answer !== undefined && chosen) saveCause();
    }
  }
  watching = false;
}

function decide(gone) {
  const box = [...rewordings.children].find((each) => each.gone === null && !waits(each) && each.querySelector("fieldset"));
  if (!box) { tell("No answer is open.", true); return; }
  box.querySelector(`input[value=${gone ? "lost" : "kept"}]`).checked = true;
  box.gone = gone;
  saveCause();
}

function askLast() {
  const box = [...rewordings.children].findLast((each) => !each.tried);
  if (box && data.model) askModel(box);
  else tell(data.model ? "Add a rewording first." : "No model answers here: write down the answer.", true);
}

function drawSingle() {
  const value = chosen ? chosen.value : {};
  for (const button of choices) {
    const own = valueOf(button);
    button.setAttribute("aria-pressed", Boolean(chosen) && (own.side === value.side && own.category === value.category));
  }
  aspects.forEach((box, place) => {
    box.classList.toggle("now", place === aspect);
    const now = (value.scores || {})[data.aspects[place]];
    box.querySelectorAll("input").forEach((input) => { input.checked = Number(input.value) === now; });
  });
  rowInputs.forEach((input) => {
    const row = input.value === "none" ? null : data.rows[input.value];
    input.checked = Boolean(chosen) && value.row_id === row;
    input.closest(".row").classList.toggle("picked", input.checked);
  });
  showFields();
}

// ---- Note and sources of the mark that is chosen.
let typing = null;

function typed(act) {
  clearTimeout(typing && typing.timer);
  tell("Typing …");
  typing = { act, timer: setTimeout(flushTyping, 600) };
}

function flushTyping() {
  if (!typing) return;
  clearTimeout(typing.timer);
  const { act } = typing;
  typing = null;
  act();
}

function saveFields() {
  if (!chosen) { tell("Kept, and saved with your mark.", false); return; }
  chosen.note = note.value;
  chosen.sources = sources.value;
  save(chosen);
}

function describe(value) {
  if (data.kind === "spans") return `${value.category}: “${excerpt(value.start, value.end)}”`;
  if (data.kind === "aspects") return Object.entries(value.scores).map(([name, number]) => `${name} ${number}`).join(", ");
  if (data.kind === "cause") return value.row_id === null ? "none of these rows" : `row ${data.rows.indexOf(value.row_id) + 1}`;
  return value.category || value.side;
}

function showFields() {
  const fixed = data.kind === "spans" && !chosen;
  note.disabled = sources.disabled = fixed;
  if (document.activeElement !== note) note.value = chosen ? chosen.note : fixed ? "" : note.value;
  if (document.activeElement !== sources) sources.value = chosen ? chosen.sources : fixed ? "" : sources.value;
  const correction = at("correction");
  correction.hidden = !(chosen && chosen.original);
  if (!correction.hidden) correction.textContent = `Corrected by a reviewer. The annotator's own: ${describe(chosen.original)}`;
}

for (const field of [note, sources]) field.addEventListener("input", () => typed(saveFields));

// ---- A reviewer's comment, with or without a mark.
const comment = at("comment");

function saveComment() {
  tell("Saving …");
  send(`${data.base}/comment`, () => ({ base: data.comment.version, text: comment.value }), (body) => { data.comment.version = body.version; });
}

if (comment) {
  comment.value = data.comment.text;
  comment.addEventListener("input", () => typed(saveComment));
}

// ---- Finishing and going on.
async function finish() {
  flushTyping();
  if (await send(`${data.base}/finish`, () => ({ finished: true }), () => {})) location.assign(data.next);
}

function go(address) {
  flushTyping();
  sending.then(() => location.assign(address));
}

// ---- Keys.
const isTyping = (element) => element instanceof HTMLTextAreaElement || (element instanceof HTMLInputElement && element.type === "text");
const focusOn = (element) => { if (element && !element.disabled) element.focus(); };
const anywhere = {
  n: () => go(data.next), p: () => go(data.previous), l: () => go("/"), g: () => go("/guidelines"),
  e: () => focusOn(note), s: () => focusOn(sources), o: () => focusOn(comment),
};
const digit = (key) => (/^[0-9]$/.test(key) ? Number(key) : null);

const keysOf = {
  spans(event) {
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 };
    if (event.key in moves && (document.activeElement === answer || document.activeElement === document.body)) return () => step(moves[event.key], event.shiftKey);
    if (event.key === ".") return () => nudge(1);
    if (event.key === ",") return () => nudge(-1);
    if (event.key === "]") return () => chooseBeside(1);
    if (event.key === "[") return () => chooseBeside(-1);
    if (event.key === "Delete" || event.key === "Backspace") return deleteSpan;
    if (event.key === "m") return moveSpan;
    if (event.key === "Escape") return () => choose(null);
    const number = digit(event.key);
    return number && number <= choices.length ? () => pick(choices[number - 1]) : null;
  },
  pairs(event) {
    const number = digit(event.key);
    return number && number <= choices.length ? () => pick(choices[number - 1]) : null;
  },
  verdicts(event) {
    const place = { 1: 0, 2: 1, 0: 2, ArrowLeft: 0, ArrowRight: 1 }[event.key];
    return place === undefined ? null : () => pick(choices[place]);
  },
  aspects(event) {
    const number = digit(event.key);
    if (number && number <= 5) return () => score(aspect, number);
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    return by ? () => { aspect = Math.max(0, Math.min(aspects.length - 1, aspect + by)); drawSingle(); } : null;
  },
  cause(event) {
    if (event.key === "c") return () => focusOn(concept);
    if (event.key === "r") return () => focusOn(addRewording());
    if (event.key === "a") return askLast;
    if (event.key === "k" || event.key === "x") return () => decide(event.key === "x");
    if (event.key === "0") return () => pickRow(rowInputs.length - 1);
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || rewordings.contains(document.activeElement)) return null;
    const now = rowInputs.findIndex((input) => input.checked);
    return () => pickRow(Math.max(0, Math.min(rowInputs.length - 1, now + by)));
  },
};

function pickRow(place) {
  rowInputs[place].checked = true;
  rowInputs[place].closest(".row").scrollIntoView({ block: "nearest" });
  saveCause();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const element = document.activeElement;
  if (isTyping(element)) {
    if (event.key === "Escape") { flushTyping(); focusOn(answer); event.preventDefault(); }
    return;
  }
  const act = keysOf[data.kind](event) || anywhere[event.key] || (event.key === "f" && at("finish") ? finish : null);
  if (!act) return;
  event.preventDefault();
  act();
});

// ---- The page as it begins.
for (const button of choices) button.addEventListener("click", () => pick(button));
if (at("finish")) {
  at("finish").addEventListener("click", finish);
  if (data.finished) at("finish").querySelector("span").textContent = "Finished. Go on";
}
if (data.kind === "spans") {
  at("delete").addEventListener("click", deleteSpan);
  at("move").addEventListener("click", moveSpan);
  for (const id of ["delete", "move"]) at(id).addEventListener("mousedown", (event) => event.preventDefault());
  for (const button of choices) button.addEventListener("mousedown", (event) => event.preventDefault());
  drawSpans();
} else {
  if (data.kind === "cause") {
    const [start, end] = data.span;
    draw(answer, cells, [{ start, end, category: 0 }]);
    const phrase = cells.slice(start, end).map((cell) => cell.badge || cell.text);
    for (const passage of document.querySelectorAll(".passage")) markPhrase(passage, phrase);
    const kept = (chosen && chosen.value.rewordings) || [];
    for (const tried of data.tries) {
      const its = kept.find(({ try_id }) => try_id === tried.try_id);
      addRewording({ gone: its ? its.gone : null }, tried);
    }
    for (const values of kept.filter(({ try_id }) => !try_id)) addRewording(values);
    watchTries();
    if (chosen) concept.value = chosen.value.concept;
    concept.addEventListener("input", () => typed(saveCause));
    rowInputs.forEach((input) => input.addEventListener("change", saveCause));
    at("add-rewording").addEventListener("click", () => focusOn(addRewording()));
  }
  aspects.forEach((box, place) => box.querySelectorAll("input").forEach((input) => {
    input.addEventListener("change", () => score(place, Number(input.value)));
  }));
  drawSingle();
}
if (data.finished) tell("This item is finished. What you change is saved all the same.");

function markPhrase(passage, phrase) {
  const own = cellsOf(passage);
  const stretches = [];
  for (let place = 0; place + phrase.length <= own.length; place += 1) {
    if (phrase.every((text, i) => (own[place + i].badge || own[place + i].text) === text)) {
      stretches.push({ start: place, end: place + phrase.length, category: 0 });
      place += phrase.length - 1;
    }
  }
  if (stretches.length) draw(passage, own, stretches);
}
