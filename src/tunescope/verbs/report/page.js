// The page's own hands: copying a command, saving a table as CSV, and what the bar shows. No text becomes markup.
"use strict";

// Makes an element, for all scripts of the page. Attributes that are null or false are left out, children without a value too.
function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

(() => {
  // ---- commands

  for (const box of document.querySelectorAll("pre")) {
    const button = el("button", { type: "button", class: "copy" }, "Copy");
    button.addEventListener("click", async () => {
      const text = box.textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(box); // a page from disk may have no clipboard: select it instead
        button.textContent = "Selected";
      }
    });
    box.after(button);
  }

  // ---- tables

  const FORMULA = /^(?![+-]?[\d.,]+(?:[eE][+-]?\d+)?\s*%?$)[=+\-@\t\r\n＝＋－＠]/;
  const cell = (text) => {
    const safe = FORMULA.test(text) ? `'${text}` : text; // a spreadsheet would run it
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };

  for (const table of document.querySelectorAll("main table")) {
    const heads = [...table.querySelectorAll("thead th, thead td")].map((head) => head.textContent);
    for (const row of table.tBodies[0] ? table.tBodies[0].rows : []) {
      [...row.cells].forEach((each, number) => {
        each.setAttribute("data-label", heads[number] || "");
        each.replaceChildren(el("span", {}, ...each.childNodes)); // one piece beside the label, where a row is a card
      });
    }
    const caption = table.caption;
    if (!caption) continue;
    const name = caption.textContent.trim().replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase() || "table";
    const button = el("button", { type: "button", class: "csv" }, "CSV");
    button.setAttribute("aria-label", `Save ${caption.textContent.trim()} as CSV`);
    button.addEventListener("click", () => {
      const lines = [...table.rows].map((row) => [...row.cells].map((each) => cell(each.textContent)).join(","));
      const link = el("a", { download: `${name}.csv` });
      link.href = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    caption.append(" ", button);
  }

  // ---- printing shows what is folded

  addEventListener("beforeprint", () => {
    for (const box of document.querySelectorAll("details:not([open])")) {
      box.open = true;
      box.dataset.folded = "";
    }
  });
  addEventListener("afterprint", () => {
    for (const box of document.querySelectorAll("details[data-folded]")) {
      box.open = false;
      delete box.dataset.folded;
    }
  });

  // ---- the bar

  const links = [...document.querySelectorAll("nav.questions a")];
  const parts = links.map((link) => document.getElementById(link.hash.slice(1)));
  const seen = new Set();
  const watch = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target);
      const here = parts.findIndex((part) => seen.has(part));
      links.forEach((link, number) => {
        if (number === here) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      });
    },
    { rootMargin: "-15% 0px -60% 0px" },
  );
  for (const part of parts) watch.observe(part);
})();
