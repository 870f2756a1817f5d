// The answers, and their X-ray: draws the chosen prompt's from the page's data. All text goes in as text nodes.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("xray-data").textContent);
  const CLASSES = { u: "unshifted", m: "marginal", s: "shifted", "-": "class missing" };
  const PRINTED = 500; // prompts that are printed at most
  const COMMON = "A borrowed span is text in common. It doesn’t prove that the row taught it.";
  const list = byId("xray-list"), detail = byId("xray-detail"), rowsPanel = byId("xray-rows");
  const controls = ["query", "model", "borrowed", "shifted", "kl", "sort", "diff"];
  const control = Object.fromEntries(controls.map((name) => [name, byId("xray-" + name)]));
  const WIDE = matchMedia("(min-width: 60rem)"); // there is a place beside the answer
  const state = { prompt: -1, listed: [], opener: null, from: null, beside: true };

  for (const answer of data.prompts.flatMap((prompt) => prompt.answers)) {
    if (answer && typeof answer.lengths === "string") answer.lengths = Array.from(answer.lengths, (digit) => parseInt(digit, 36));
  }

  const asked = (value) => (value === null || value === undefined ? undefined : number(value)); // left out where nobody asked
  const number = (value) => (value === null || value === undefined ? "missing" : value.toLocaleString("en", { maximumSignificantDigits: 12 }));
  const thousandths = (value) => number(value === null ? null : value / 1000);
  const visible = (text) => text.replace(/\n/g, "↵").replace(/\t/g, "⇥");
  const quoted = (text) => (text === "" ? "an empty piece" : `“${visible(text)}”`);
  const counted = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;
  const isOn = (input) => (input.type === "checkbox" ? input.checked : input.value !== input.dataset.default);
  const filters = () =>
    Object.fromEntries(
      Object.entries(control)
        .filter(([, input]) => input && isOn(input))
        .map(([name, input]) => [name, input.type === "checkbox" ? "1" : input.value]),
    );
  const address = (values) => "#" + new URLSearchParams({ ...values, ...filters() }).toString();
  const addressOf = (prompt) =>
    address({ prompt: prompt.id, ...(prompt.turn && { turn: prompt.turn }), ...(prompt.sample && { sample: prompt.sample }) });

  // ---- filters and the list of prompts

  function wanted() {
    const on = (name) => Boolean(control[name] && control[name].checked);
    return {
      query: control.query.value.trim().toLowerCase(),
      model: control.model.value === "" ? null : Number(control.model.value),
      borrowed: on("borrowed"),
      shifted: on("shifted"),
      kl: control.kl ? Number(control.kl.value) || 0 : 0,
      sort: control.sort.value,
      diff: control.diff && control.diff.value !== "" ? Number(control.diff.value) : null,
    };
  }

  const considered = (prompt, want) =>
    prompt.answers.filter((answer, column) => answer && (want.model === null || want.model === column));
  const picksTokens = (want) => want.shifted || want.kl > 0;
  const picked = (answer, token, want) =>
    (!want.shifted || answer.classes[token] === "s") && (want.kl <= 0 || answer.kls[token] >= 1000 * want.kl);

  function passes(prompt, want) {
    const answers = considered(prompt, want);
    if (!answers.length) return false;
    if (want.query) {
      const texts = [prompt.called, prompt.prompt, ...answers.map((answer) => answer.text)];
      if (!texts.some((text) => text.toLowerCase().includes(want.query))) return false;
    }
    return answers.some(
      (answer) =>
        (!want.borrowed || (answer.spans || []).length > 0) &&
        (!picksTokens(want) || (answer.lengths || []).some((_, token) => picked(answer, token, want))),
    );
  }

  function most(prompt, want) {
    const values = considered(prompt, want).map((answer) => (want.sort === "kl" ? answer.mean_kl : answer.flagged));
    return Math.max(-Infinity, ...values.filter((value) => value !== null && value !== undefined));
  }

  function filter() {
    const want = wanted();
    state.listed = data.prompts.map((_, index) => index).filter((index) => passes(data.prompts[index], want));
    if (want.sort) {
      const value = new Map(state.listed.map((index) => [index, most(data.prompts[index], want)]));
      const compare = (a, b) => (value.get(a) === value.get(b) ? a - b : value.get(b) > value.get(a) ? 1 : -1);
      state.listed.sort(compare);
    }
    byId("xray-count").textContent = `${number(state.listed.length)} of ${counted(data.prompts.length, "prompt", "prompts")}`;
    drawList();
  }

  function summary(prompt, want) {
    const parts = [];
    prompt.answers.forEach((answer, column) => {
      if (!answer || (want.model !== null && want.model !== column)) return;
      const said = [];
      if (answer.mean_kl !== undefined) said.push(`KL ${number(answer.mean_kl)}`);
      if (answer.flagged !== undefined) said.push(`flagged ${number(answer.flagged)}, by chance ${number(answer.expected)}`);
      if (said.length) parts.push(`${data.columns[column].name}: ${said.join("; ")}`);
    });
    return parts.join(" · ");
  }

  const BLOCK = 100; // prompts that are drawn together, once they are nearly in sight
  const waitingBlocks = new Map();
  const near = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => fillBlock(entry.target)),
    { root: list, rootMargin: "900px" },
  );

  function drawList() {
    near.disconnect();
    waitingBlocks.clear();
    const blocks = [];
    for (let at = 0; at < state.listed.length; at += BLOCK) {
      const block = el("ol", { start: at + 1, class: "unfilled" });
      waitingBlocks.set(block, state.listed.slice(at, at + BLOCK));
      blocks.push(block);
    }
    list.replaceChildren(...blocks);
    if (blocks.length) fillBlock(blocks[0]);
    for (const block of waitingBlocks.keys()) near.observe(block);
  }

  function fillBlock(block) {
    const want = wanted(), listed = waitingBlocks.get(block) || [];
    waitingBlocks.delete(block);
    near.unobserve(block);
    block.classList.remove("unfilled");
    block.append(
      ...listed.map((index) => {
        const prompt = data.prompts[index];
        const link = el("a", { href: addressOf(prompt), "data-index": index });
        link.append(el("b", {}, prompt.called), " ", el("span", { dir: "auto" }, prompt.line));
        return el("li", {}, link, el("small", {}, summary(prompt, want)));
      }),
    );
    markCurrent();
  }

  function markCurrent() {
    // The prompt that is shown, where it is drawn in the list.
    for (const link of list.querySelectorAll(`[aria-current], [data-index="${state.prompt}"]`)) {
      if (link.dataset.index === String(state.prompt)) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  // ---- one prompt

  function cuts(answer) {
    // The answer's pieces: tokens, cut where a borrowed span begins or ends inside one.
    const spans = answer.spans || [], pieces = [];
    let at = 0, next = 0;
    const add = (end, token) => {
      const text = answer.text.slice(at, end);
      const ink = at + (text.trim() === "" ? 0 : text.length - text.trimStart().length); // blanks before it have no colour
      let main = token !== null; // the piece that has the focus
      do {
        while (next < spans.length && spans[next].end <= at) next += 1;
        const span = spans[next];
        const inside = Boolean(span && span.start <= at);
        const edge = span ? (inside ? span.end : span.start) : Infinity;
        const stop = Math.min(end, edge);
        const here = main && (stop > ink || stop === end);
        pieces.push({ start: at, ink: Math.min(Math.max(ink, at), stop), end: stop, token, main: here, span: inside ? next : null });
        main = main && !here;
        at = stop;
      } while (at < end);
    };
    if (answer.lead) add(answer.lead, null);
    (answer.lengths || []).forEach((length, token) => add(at + length, token));
    while (at < answer.text.length) add(answer.text.length, null);
    return pieces;
  }

  function spanLabel(span) {
    return `borrowed, ${span.kind}, ${counted(span.words, "word", "words")}`;
  }

  function drawText(answer, column, want) {
    const tokens = (answer.lengths || []).length > 0, picks = picksTokens(want);
    const name = `${data.columns[column].name}, tokens of the answer`;
    const box = tokens
      ? el("div", { class: "text", dir: "auto", role: "listbox", "aria-label": name, "aria-orientation": "horizontal", "aria-describedby": "xray-hint" })
      : el("p", { class: "text", dir: "auto" });
    let group = null, groupOf = null;
    for (const piece of cuts(answer)) {
      const text = answer.text.slice(piece.start, piece.end);
      let made = document.createTextNode(text);
      if (piece.token !== null) {
        const shown = !picks || picked(answer, piece.token, want);
        const whole = wholeToken(answer, piece.token);
        const kind = text === "" ? " empty" : /^[\r\n]+$/.test(text) ? " newline" : "";
        const look = piece.ink === piece.end && whole !== "" ? "" : shown ? answer.classes[piece.token] : "dim";
        const inner = el("span", { class: `c ${look}${kind}` }, answer.text.slice(piece.ink, piece.end));
        made = el("span", { class: "t", "data-token": piece.token }, answer.text.slice(piece.start, piece.ink), inner);
        if (piece.main) {
          made.setAttribute("role", "option");
          made.setAttribute("aria-selected", "false");
          made.setAttribute("aria-label", `${visible(whole) || "empty piece"}, ${CLASSES[answer.classes[piece.token]]}`);
          made.setAttribute("tabindex", piece.token === 0 ? "0" : "-1");
        } else {
          made.setAttribute("aria-hidden", "true");
        }
      }
      if (piece.span === null) {
        group = groupOf = null;
        box.append(made);
        continue;
      }
      if (groupOf !== piece.span) {
        groupOf = piece.span;
        const span = answer.spans[piece.span];
        group = el("span", { class: `b ${span.kind}`, "data-span": piece.span, "aria-label": spanLabel(span) });
        if (tokens) group.setAttribute("role", "group");
        else for (const [key, value] of [["role", "button"], ["tabindex", "0"], ["aria-expanded", "false"], ["aria-controls", "xray-rows"]]) group.setAttribute(key, value);
        if (!tokens) group.setAttribute("aria-label", `${answer.text.slice(span.start, span.end)}, ${spanLabel(span)}`);
        box.append(group);
      }
      group.append(made);
    }
    return box;
  }

  const starts = new WeakMap();
  function wholeToken(answer, token) {
    if (!starts.has(answer)) {
      let at = answer.lead || 0;
      starts.set(answer, answer.lengths.map((length) => (at += length) - length));
    }
    const start = starts.get(answer)[token];
    return answer.text.slice(start, start + answer.lengths[token]);
  }

  function facts(answer) {
    const said = [];
    if (answer.lengths) {
      if (!answer.lengths.length) said.push(`No token of this answer was read${answer.reason ? `: ${answer.reason}` : ""}.`);
      else {
        const count = (letter) => answer.classes.split(letter).length - 1;
        const missing = answer.lengths.length - answer.n;
        said.push(
          `${counted(answer.lengths.length, "token", "tokens")}: ${count("u")} unshifted, ${count("m")} marginal, ` +
            `${count("s")} shifted; mean KL ${number(answer.mean_kl)} (n = ${answer.n}${missing ? `, missing ${missing}` : ""})`,
        );
      }
    }
    if (answer.flagged !== undefined) {
      said.push(
        `${number(answer.flagged)} of ${counted(answer.words, "word", "words")} flagged; ` +
          `by chance ${number(answer.expected)}, excess ${number(answer.excess)}`,
      );
    }
    return said;
  }

  function drawAnswer(prompt, column, want) {
    const answer = prompt.answers[column], name = data.columns[column].name;
    if (!answer) return el("article", {}, el("h4", {}, name), el("p", { class: "note" }, "No answer of this model."));
    const heading = el("h4", { tabindex: "-1" }, name, " ");
    heading.append(el("a", { class: "permalink", href: address({ answer: answer.id }), "aria-label": `link to the answer of ${name}` }, "link"));
    const made = el("article", { "data-column": column, "data-answer": answer.id }, heading);
    made.append(...facts(answer).map((text) => el("p", { class: "note" }, text)));
    if (answer.text === "") made.append(el("p", {}, el("em", {}, "empty")));
    else {
      const beside = want.diff === null || want.diff === column ? null : prompt.answers[want.diff];
      if (beside) made.append(drawDifference(beside.text, answer.text));
      else {
        if ((answer.lengths || []).length) made.append(el("p", { class: "hidden" }, answer.text));
        made.append(drawText(answer, column, want));
      }
    }
    for (const [claim, standing, phrase] of answer.claims || []) {
      made.append(el("p", { class: "note" }, `Claim ${claim}: ${standing}${phrase ? ` (“${phrase}”)` : ""}`));
    }
    if (answer.cut) made.append(el("p", { class: "note" }, "(cut off)"));
    if (answer.taught) made.append(drawTaught(answer.taught));
    return made;
  }

  function drawDifference(from, to) {
    const pieces = Diff.diffWordsWithSpace(from, to).map((part) => (part.added ? el("ins", {}, part.value) : part.removed ? el("del", {}, part.value) : part.value));
    return el("p", { class: "text diff", dir: "auto" }, ...pieces);
  }

  function drawTaught(taught) {
    // What opens the rows that taught an answer, or why there are none.
    const n = taught.rows.length;
    if (!n) return el("p", { class: "note" }, `Rows that taught it: none is named (${taught.reason}).`);
    const matter = taught.matters === null ? "" : `, ${number(taught.matters)} of all matter`;
    const opens = { type: "button", class: "taught", "data-taught": true, "aria-expanded": "false", "aria-controls": "xray-rows" };
    return el("button", opens, `Rows that taught it: the first ${number(n)}${matter}`);
  }

  function drawPrompt() {
    closeRows(false);
    if (state.prompt < 0) {
      detail.replaceChildren();
      return;
    }
    const want = wanted(), prompt = data.prompts[state.prompt];
    const columns = data.columns.map((_, column) => column).filter((column) => want.model === null || want.model === column);
    const at = state.listed.indexOf(state.prompt);
    const step = (by, text) => {
      const index = at < 0 ? undefined : state.listed[at + by];
      return index === undefined ? null : el("a", { href: addressOf(data.prompts[index]) }, text);
    };
    detail.replaceChildren(
      el("h3", { tabindex: "-1" }, `Prompt ${prompt.called}`),
      el("p", { class: "steps" }, step(-1, "← previous"), step(1, "next →")),
      el("p", { class: "prompt", dir: "auto" }, prompt.prompt),
      el("div", { class: "answers" }, ...columns.map((column) => drawAnswer(prompt, column, want))),
    );
    if (detail.querySelector("[role=option]")) {
      strip.replaceChildren(HINT);
      strip.classList.remove("pinned"); // until it says something, it covers nothing
      detail.append(strip);
    }
    const taught = detail.querySelector("[data-taught]");
    if (taught && state.beside && WIDE.matches) openTaught(taught, false);
  }

  function go(arrived) {
    const at = new URLSearchParams(location.hash.slice(1));
    let index = -1, column = null;
    if (at.has("answer")) {
      index = data.prompts.findIndex((prompt) => prompt.answers.some((answer) => answer && answer.id === at.get("answer")));
      if (index >= 0) column = data.prompts[index].answers.findIndex((answer) => answer && answer.id === at.get("answer"));
    } else if (at.has("prompt")) {
      const [turn, sample] = ["turn", "sample"].map((name) => Number(at.get(name) || 0));
      index = data.prompts.findIndex((prompt) => prompt.id === at.get("prompt") && prompt.turn === turn && prompt.sample === sample);
    } else if (arrived && location.hash !== "") return; // a link to another part of the page
    else {
      state.prompt = state.listed.length ? state.listed[0] : -1;
      drawPrompt();
      markCurrent();
      return;
    }
    if (index < 0) {
      byId("xray-count").textContent = `No answer or prompt is called ${at.get("answer") || at.get("prompt")}.`;
      if (state.prompt < 0) state.prompt = state.listed.length ? state.listed[0] : -1;
      drawPrompt();
      return;
    }
    if (column !== null && control.model.value !== "" && Number(control.model.value) !== column) {
      control.model.value = "";
      filter();
    }
    state.prompt = index;
    drawPrompt();
    markCurrent();
    const chosen = column === null ? null : detail.querySelector(`article[data-column="${column}"]`);
    if (chosen) chosen.classList.add("chosen");
    const heading = (chosen || detail).querySelector(chosen ? "h4" : "h3");
    heading.focus({ preventScroll: true });
    (chosen || detail).scrollIntoView({ block: "start" });
  }

  // ---- the strip that says what is known of a token

  const HINT = "Point at a token, or walk with the arrow keys: its numbers stand here.";
  const strip = el("div", { id: "xray-strip" }, HINT);
  let described = null;

  const answerOf = (node) => {
    const article = node.closest("article[data-column]");
    return data.prompts[state.prompt].answers[Number(article.dataset.column)];
  };

  function sparse(list, place) {
    // What is said of a place in a list of (distance from the last place, value); 0 where nothing is.
    let at = 0;
    for (let index = 0; index < list.length && at <= place; index += 2) {
      at += list[index];
      if (at === place) return list[index + 1];
    }
    return 0;
  }

  function describe(answer, token, node) {
    const base = sparse(answer.base_tops, token), top = sparse(answer.tops, token), standing = wholeToken(answer, token);
    const word = (index) => (index < 0 ? "missing" : quoted(index === 0 ? standing : data.strings[index - 1]));
    const lines = [
      ["token", quoted(standing)],
      ["class", CLASSES[answer.classes[token]]],
      ["base rank", number(answer.ranks[token])],
      ["base probability", thousandths(answer.probs[token])],
      ["KL", thousandths(answer.kls[token]) + (answer.kls[token] === null ? "" : " nats")],
      ["base model’s top choice", word(base)],
    ];
    if (top !== 0) lines.push(["tuned model’s top choice", word(top)]);
    const group = node.closest("[data-span]");
    if (group) lines.push([spanLabel(answer.spans[Number(group.dataset.span)]), "Enter or a click opens its rows"]);
    return lines;
  }

  function inspect(node) {
    const answer = answerOf(node), token = Number(node.dataset.token);
    strip.classList.add("pinned");
    strip.replaceChildren(...describe(answer, token, node).map(([name, value]) => el("div", {}, el("span", {}, name + " "), el("b", {}, value))));
    if (described) described.removeAttribute("aria-describedby");
    described = node;
    node.setAttribute("aria-describedby", strip.id);
  }

  // ---- the rows of a borrowed span

  function marked(text, stretches) {
    const parts = [];
    let at = 0;
    for (const [start, end] of stretches.slice().sort((a, b) => a[0] - b[0])) {
      if (end <= at) continue;
      const from = Math.max(at, start);
      parts.push(text.slice(at, from), el("mark", {}, text.slice(from, end)));
      at = end;
    }
    parts.push(text.slice(at));
    return parts;
  }

  function table(pairs) {
    return el("dl", {}, ...pairs.filter(([, value]) => value !== undefined).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  }

  function drawRow([row, field, edits, size, bits, likeness, cosine, shared], answer, span) {
    const source = data.rows[row];
    const inAnswer = shared.map(([start, end]) => [Math.max(start, span.start) - span.start, Math.min(end, span.end) - span.start]);
    const lineage = source.lineage.length
      ? el("ol", { class: "lineage" }, ...source.lineage.map((step) => el("li", {}, step)))
      : el("p", { class: "note" }, "Unchanged since it was read.");
    return el(
      "li",
      {},
      el("h4", {}, ...breakable(source.place), " ", el("code", {}, source.id)),
      ...drawTexts(source, (index) => (index === field ? shared.map(([, , start, end]) => [start, end]) : [])),
      el("h5", {}, "the span, shared words marked"),
      el("p", { class: "quote", dir: "auto" }, ...marked(answer.text.slice(span.start, span.end), inAnswer)),
      ...drawFed(row),
      table([
        ["field", source.fields[field][0]],
        ["words changed", number(edits)],
        ["bits", number(bits)],
        ["prompt similarity (BM25)", asked(likeness)],
        ["cosine", asked(cosine)],
        ["rows with this text", number(size)],
      ]),
      el("h5", {}, "lineage"),
      lineage,
      el("pre", {}, `tunescope why ${source.id}`),
    );
  }

  let fed = null;
  function drawFed(row) {
    // The other answers that a row is named for.
    if (fed === null) {
      fed = new Map();
      const add = (each, prompt, answer) => {
        if (!fed.has(each)) fed.set(each, new Map());
        fed.get(each).set(answer, prompt);
      };
      for (const prompt of data.prompts) {
        for (const answer of prompt.answers.filter(Boolean)) {
          for (const span of answer.spans || []) for (const each of span.rows) add(each[0], prompt, answer);
          for (const each of answer.taught ? answer.taught.rows : []) add(each.row, prompt, answer);
        }
      }
    }
    const here = data.prompts[state.prompt];
    const others = [...(fed.get(row) || [])].filter(([, prompt]) => prompt !== here);
    if (!others.length) return [];
    const columnOf = (prompt, answer) => data.columns[prompt.answers.indexOf(answer)].name;
    const items = others.slice(0, 20).map(([answer, prompt]) => el("li", {}, el("a", { href: address({ answer: answer.id }) }, `${prompt.called}, ${columnOf(prompt, answer)}`)));
    const list = el("ul", {}, ...items, others.length > 20 ? el("li", {}, `and ${number(others.length - 20)} more`) : null);
    return [el("details", { class: "fed" }, el("summary", {}, `Named for ${counted(others.length, "other answer", "other answers")}`), list)];
  }

  // A path, in which a line may end behind a slash.
  const breakable = (path) => path.split(/(?<=\/)/).flatMap((part, n) => (n ? [el("wbr", {}), part] : [part]));

  function drawTexts(source, stretchesOf) {
    // A row's texts, each under its name, with stretches marked.
    return source.fields.flatMap(([name, text, before, after], index) => {
      const quote = el("p", { class: "quote", dir: "auto", "data-field": name });
      if (before) quote.append(el("small", {}, `(${counted(before, "character", "characters")} before) `));
      quote.append(...(text === "" ? [el("em", {}, "empty")] : marked(text, stretchesOf(index))));
      if (after) quote.append(el("small", {}, ` (${counted(after, "character", "characters")} after)`));
      return [el("h5", {}, name), quote];
    });
  }

  function drawTaughtRow(taught) {
    const source = data.rows[taught.row];
    const how = [taught.copied ? "a copy, word for word" : "", ...taught.how.split(" ")].filter(Boolean).join(", ");
    return el(
      "li",
      {},
      el("h4", {}, ...breakable(source.place), " ", el("code", {}, source.id)),
      ...drawTexts(source, () => []),
      ...drawFed(taught.row),
      table([
        ["found by", how || "several kinds of evidence together"],
        ["words (BM25)", asked(taught.words)],
        ["meaning (cosine)", asked(taught.meaning)],
        ["states (base’s gradients)", asked(taught.states)],
        ["effect (base’s and tuned)", asked(taught.effect)],
        ["matters", taught.matters === null ? "not known" : taught.matters ? "yes" : "no"],
      ]),
      el("pre", {}, `tunescope why ${source.id}`),
    );
  }

  function openTaught(button, asked) {
    const answer = answerOf(button), taught = answer.taught;
    const known = taught.matters === null ? `How many of them matter: ${taught.reason}.` : `${counted(taught.matters, "row matters", "rows matter")}.`;
    openPanel(button, button, "Rows that taught it", [
      el("p", {}, `Best first, by all evidence together. ${known} The proof is to leave them out, tune again and ask again.`),
      el("ol", { class: "rows" }, ...taught.rows.map(drawTaughtRow)),
    ], asked);
  }

  // Opened by a prompt itself (not `asked` for), the rows leave the focus and the page where they are.
  function openPanel(opener, from, title, children, asked = true) {
    closeRows(false);
    const heading = el("h3", { tabindex: "-1" }, title);
    const close = el("button", { type: "button" }, "Close");
    close.addEventListener("click", () => {
      state.beside = false;
      closeRows(true);
    });
    rowsPanel.replaceChildren(el("div", { class: "bar" }, heading, close), ...children);
    rowsPanel.hidden = false;
    rowsPanel.parentElement.classList.add("with-rows");
    opener.classList.add("open");
    if (opener.hasAttribute("aria-expanded")) opener.setAttribute("aria-expanded", "true");
    state.opener = opener;
    state.from = from;
    rowsPanel.scrollTop = 0;
    if (!asked) return;
    heading.focus({ preventScroll: true });
    rowsPanel.scrollIntoView({ block: "nearest" });
  }

  function openRows(group, from) {
    const answer = answerOf(group), span = answer.spans[Number(group.dataset.span)];
    const facts = [
      ["words", number(span.words)],
      ["bits", number(span.bits)],
      ["bits in the reference", asked(span.ref_bits)],
      ["contrast, bits", asked(span.contrast_bits)],
      ["p under the null", number(span.p_null)],
      ["rows that contain it", number(span.count)],
      ["different texts among them", number(span.n_row_groups)],
    ];
    if (span.shift) {
      facts.push([
        "tokens in it",
        `${number(span.shift.n_tokens)}: ${number(span.shift.shifted)} shifted, ${number(span.shift.marginal)} marginal; mean log ratio ${number(span.shift.mean_log_ratio)}`,
      ]);
    }
    facts.push(["null", data.strings[span.null - 1]]);
    const chance = `This answer: ${number(answer.flagged)} of ${number(answer.words)} words flagged, by chance ${number(answer.expected)}.`;
    const parts = [
      el("p", { class: "quote", dir: "auto" }, answer.text.slice(span.start, span.end)),
      el("p", {}, COMMON + (answer.flagged === undefined ? "" : " " + chance)),
      table(facts),
    ];
    if (span.evidence.length) parts.push(el("p", { class: "note" }, `Evidence: ${span.evidence.join("; ")}`));
    parts.push(el("h3", {}, span.rows.length === 1 ? "The row" : "Rows, most likely first"));
    parts.push(el("ol", { class: "rows" }, ...span.rows.map((row) => drawRow(row, answer, span))));
    if (span.more) parts.push(el("p", { class: "note" }, `${counted(span.more, "more row", "more rows")} in the run's spans.jsonl.`));
    openPanel(group, from, `Borrowed: ${span.kind}`, parts);
  }

  function closeRows(back) {
    const { opener: group, from } = state;
    rowsPanel.hidden = true;
    rowsPanel.parentElement.classList.remove("with-rows");
    rowsPanel.replaceChildren();
    state.opener = state.from = null;
    if (!group) return;
    group.classList.remove("open");
    if (group.hasAttribute("aria-expanded")) group.setAttribute("aria-expanded", "false");
    if (back) from.focus();
  }

  // ---- walking through tokens

  const tokenOf = (piece) => {
    // The piece of a token that takes the focus.
    return piece.closest("[role=listbox]").querySelector(`[role=option][data-token="${piece.dataset.token}"]`);
  };

  function spanOf(token) {
    // The first borrowed span that any piece of the token lies in.
    const pieces = token.closest("[role=listbox]").querySelectorAll(`[data-token="${token.dataset.token}"]`);
    return [...pieces].map((piece) => piece.closest("[data-span]")).find(Boolean) || null;
  }

  function lineAway(tokens, from, by) {
    const here = from.getBoundingClientRect();
    const other = (node) => {
      const at = node.getBoundingClientRect();
      return by > 0 ? at.top >= here.bottom - 4 : at.bottom <= here.top + 4;
    };
    const rest = by > 0 ? tokens.slice(tokens.indexOf(from)) : tokens.slice(0, tokens.indexOf(from)).reverse();
    const first = rest.find(other);
    if (!first) return from;
    const line = rest.filter((node) => Math.abs(node.getBoundingClientRect().top - first.getBoundingClientRect().top) < 8);
    const distance = (node) => Math.abs(node.getBoundingClientRect().left - here.left);
    return line.reduce((best, node) => (distance(node) < distance(best) ? node : best));
  }

  function walk(box, from, key) {
    const tokens = [...box.querySelectorAll("[role=option]:not(:has(> .dim))")];
    const every = [...box.querySelectorAll("[role=option]")];
    const forward = getComputedStyle(box).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
    const at = Number(from.dataset.token);
    if (key === "Home") return tokens[0];
    if (key === "End") return tokens[tokens.length - 1];
    if (key === "ArrowDown") return lineAway(every, from, 1);
    if (key === "ArrowUp") return lineAway(every, from, -1);
    return key === forward
      ? tokens.find((token) => Number(token.dataset.token) > at)
      : tokens.filter((token) => Number(token.dataset.token) < at).pop();
  }

  detail.addEventListener("keydown", (event) => {
    const token = event.target.closest("[role=option]"), button = event.target.closest("[role=button]");
    if ((event.key === "Enter" || event.key === " ") && (token || button)) {
      event.preventDefault();
      const group = button || spanOf(token);
      if (group) openRows(group, token || button);
    } else if (token && ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
      event.preventDefault();
      const next = walk(token.closest("[role=listbox]"), token, event.key);
      if (next) next.focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (state.opener) closeRows(true);
  });
  rowsPanel.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.opener) {
      event.stopPropagation();
      closeRows(true);
    }
  });
  let clicked = [NaN, NaN];
  detail.addEventListener("click", (event) => {
    clicked = [event.clientX, event.clientY];
    const group = event.target.closest("[data-span]"), piece = event.target.closest("[data-token]");
    const taught = event.target.closest("[data-taught]");
    if (taught) {
      state.beside = true;
      openTaught(taught, true);
    } else if (group) openRows(group, piece ? tokenOf(piece) : group);
  });
  detail.addEventListener("focusin", (event) => {
    const token = event.target.closest("[role=option]");
    if (!token) return;
    for (const other of token.closest("[role=listbox]").querySelectorAll('[tabindex="0"]')) other.setAttribute("tabindex", "-1");
    token.setAttribute("tabindex", "0");
    inspect(token);
  });
  detail.addEventListener("mouseover", (event) => {
    const token = event.target.closest("[data-token]");
    const moved = event.clientX !== clicked[0] || event.clientY !== clicked[1]; // else the page moved under the pointer
    if (token && moved) inspect(token);
  });

  // ---- begin

  function restore() {
    // The filters that the page's address names.
    const at = new URLSearchParams(location.hash.slice(1));
    for (const [name, input] of Object.entries(control)) {
      if (!input) continue;
      if (input.type === "checkbox") input.checked = at.has(name);
      else input.value = at.get(name) ?? input.dataset.default;
    }
  }
  for (const input of Object.values(control).filter(Boolean)) input.dataset.default = input.value;

  let waiting = null;
  const refresh = () => {
    filter();
    if (state.listed.length && !state.listed.includes(state.prompt)) state.prompt = state.listed[0];
    if (!state.listed.length) state.prompt = -1;
    drawPrompt();
    markCurrent();
    if (state.prompt >= 0) history.replaceState(null, "", addressOf(data.prompts[state.prompt]));
  };
  for (const each of Object.values(control).filter(Boolean)) {
    each.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(refresh, 80);
    });
  }
  addEventListener("beforeprint", () => {
    const want = wanted();
    const printed = state.listed.slice(0, PRINTED).map((index) => {
      const prompt = data.prompts[index];
      const answers = data.columns.map((_, column) => column).filter((column) => want.model === null || want.model === column);
      return el(
        "article",
        {},
        el("h3", {}, `Prompt ${prompt.called}`),
        el("p", { class: "prompt", dir: "auto" }, prompt.prompt),
        el("div", { class: "answers" }, ...answers.map((column) => drawAnswer(prompt, column, want))),
      );
    });
    byId("xray-printed").replaceChildren(...printed);
  });
  addEventListener("afterprint", () => byId("xray-printed").replaceChildren());

  byId("xray-app").hidden = false;
  restore();
  filter();
  go(false);
  addEventListener("hashchange", () => go(true));
})();
