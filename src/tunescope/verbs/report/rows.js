// Rows, or judgements, to read: filtered by kind and words, each opened in a drawer. All text goes in as text nodes.
"use strict";
(() => {
  const STEP = 100; // rows listed at a time

  const plain = (name) => name.replaceAll("_", " ");
  const counted = (n, [one, many]) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
  const texts = (row) => [...row.messages.map(([, text]) => text), ...row.faults.map(([, about, detail]) => `${about} ${detail}`)];
  const begin = (row) => {
    const text = (row.messages.find((message) => message[1].trim()) || ["", "empty"])[1].replace(/\s+/g, " ").trim();
    return text.length > 110 ? text.slice(0, 109) + "…" : text;
  };

  for (const script of document.querySelectorAll('script[data-component="rows"]')) {
    const anchor = script.id.replace(/-data$/, "");
    const data = JSON.parse(script.textContent);
    const box = document.getElementById(`${anchor}-browser`);
    const query = el("input", { type: "search", autocomplete: "off" });
    const buttons = data.faults.map(([name, meaning, n]) => {
      const made = el("button", { type: "button", class: "fault", "aria-pressed": "false", title: meaning }, `${plain(name)} ${n.toLocaleString("en")}`);
      made.addEventListener("click", () => (location.hash = address({ fault: state.fault === name ? null : name })));
      return made;
    });
    const status = el("p", { role: "status", class: "note" });
    const list = el("ol", { class: "row-list" });
    const drawer = el("dialog", { class: "drawer", "aria-label": data.heading });
    const state = { fault: null, shown: STEP, listed: [] };
    const address = (values) => {
      const kept = { rows: anchor, fault: state.fault, ...values };
      return "#" + new URLSearchParams(Object.entries(kept).filter(([, value]) => value !== null)).toString();
    };

    function filter() {
      const words = query.value.trim().toLowerCase();
      state.listed = data.rows.filter(
        (row) =>
          (!state.fault || row.faults.some(([name]) => name === state.fault)) &&
          (!words || row.id.startsWith(words) || texts(row).some((text) => text.toLowerCase().includes(words))),
      );
      buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(data.faults[at][0] === state.fault)));
      const more = data.more ? `; ${counted(data.more, ["more", "more"])} in the run's tables` : "";
      status.textContent = `${state.listed.length.toLocaleString("en")} of ${counted(data.rows.length, [data.one, data.many])}${more}`;
      draw();
    }

    function draw() {
      const items = state.listed.slice(0, state.shown).map((row) =>
        el(
          "li",
          {},
          el("a", { href: address({ row: row.id }), dir: "auto" }, begin(row)),
          el("small", {}, [row.faults.map(([name, about]) => `${plain(name)} (${about})`).join(", "), row.id, row.place].filter(Boolean).join(" · ")),
        ),
      );
      list.replaceChildren(...items);
      const left = state.listed.length - state.shown;
      if (left > 0) {
        const more = el("button", { type: "button" }, `Show ${Math.min(left, STEP)} more`);
        more.addEventListener("click", () => {
          state.shown += STEP;
          draw();
        });
        list.append(el("li", {}, more));
      }
    }

    function marked(text, marks) {
      // A message's text with the quoted stretches marked.
      const made = el("p", { class: "quote", dir: "auto" });
      let at = 0;
      for (const [start, end] of marks.sort((a, b) => a[0] - b[0])) {
        if (start < at || end > text.length) continue;
        made.append(text.slice(at, start), el("mark", {}, text.slice(start, end)));
        at = end;
      }
      made.append(text.slice(at));
      return made;
    }

    function open(row) {
      const close = el("button", { type: "button" }, "Close");
      close.addEventListener("click", () => drawer.close());
      const found = row.faults.map(([name, grade, detail]) => el("li", {}, el("b", {}, plain(name)), ` (${grade})${detail ? `: ${detail}` : ""}`));
      const parts = [
        el("div", { class: "bar" }, el("h3", { tabindex: "-1" }, `${data.heading} ${row.id}`), close),
        el("p", { class: "note" }, row.place),
        el("ul", {}, ...found),
      ];
      row.messages.forEach(([role, text, cut], number) => {
        parts.push(el("h4", {}, role));
        const marks = row.marks.filter((mark) => mark[0] === number).map((mark) => mark.slice(1));
        parts.push(text ? marked(text, marks) : el("p", {}, el("em", {}, "empty")));
        if (cut) parts.push(el("p", { class: "note" }, "Cut here; the whole text is in the row file."));
      });
      if (row.twin) {
        const [heading, own, other] = row.twin;
        const tag = (part) => (part.added ? "ins" : part.removed ? "del" : null);
        const pieces = Diff.diffWordsWithSpace(own, other).map((part) => (tag(part) ? el(tag(part), {}, part.value) : part.value));
        parts.push(el("h4", {}, heading), el("p", { class: "quote diff", dir: "auto" }, ...pieces));
        parts.push(el("p", { class: "note" }, own === other ? "The same text." : `Struck: ${data.sides[0]}. Underlined: ${data.sides[1]}.`));
      }
      if (row.history) parts.push(el("h4", {}, "History"));
      if (row.history) parts.push(row.history.length ? el("ol", {}, ...row.history.map((step) => el("li", {}, step))) : el("p", { class: "note" }, "As it was first read."));
      if (data.command) parts.push(el("pre", {}, `${data.command} ${row.id}`));
      drawer.replaceChildren(...parts);
      if (!drawer.open) drawer.showModal();
      drawer.scrollTop = 0;
    }

    function go() {
      const at = new URLSearchParams(location.hash.slice(1));
      if (at.get("rows") !== anchor) {
        if (drawer.open) drawer.close();
        return;
      }
      const fault = at.get("fault");
      if (fault !== state.fault) {
        state.fault = data.faults.some(([name]) => name === fault) ? fault : null;
        state.shown = STEP;
        filter();
        if (!at.has("row")) box.scrollIntoView({ block: "nearest" });
      }
      const row = at.has("row") ? data.rows.find((each) => each.id === at.get("row")) : null;
      if (row) open(row);
      else if (drawer.open) drawer.close();
    }

    drawer.addEventListener("close", () => {
      if (new URLSearchParams(location.hash.slice(1)).has("row")) history.replaceState(null, "", address({}));
    });
    query.addEventListener("input", () => {
      state.shown = STEP;
      filter();
    });
    box.append(
      el("div", { class: "filters", role: "group", "aria-label": `Filter the ${data.many}` }, ...buttons, el("label", {}, "Search ", query)),
      status,
      list,
      drawer,
    );
    box.hidden = false;
    filter();
    go();
    addEventListener("hashchange", go);
  }
})();
