"""The reference that is made from the code: a page per verb, from the settings that the command line reads too.

python tools/reference.py            # exit 1 where a page in docs/reference/verbs/ says something else
python tools/reference.py --write    # write the pages
"""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_type_hints

sys.path.insert(0, str(Path(__file__).parent))
import docs

from tunescope.cli.help import default_text, headings, positional_label, usage
from tunescope.settings import as_option, expected, help_of, is_required
from tunescope.verbs import QUESTIONS

FOLDER = docs.ROOT / "docs" / "reference" / "verbs"
_GATES = "end with exit code 3 if a condition holds: [gates](../../how-to/gates.md)"
INDEX = FOLDER / "index.md"


def page_name(verb: str) -> str:
    """Return the name of a verb's page."""
    return f"{verb.replace(' ', '-')}.md"


def page(verb: str) -> str:
    """Return a verb's page: its usage, and a table of options under each heading of its help."""
    entry = next(verbs[verb] for verbs in QUESTIONS.values() if verb in verbs)
    settings = entry.settings_class()
    hints = get_type_hints(settings)
    place = headings(settings)
    groups: dict[str, list[Field[Any]]] = defaultdict(list)
    for declared in fields(settings):
        groups[place[declared.name]].append(declared)
    guide = os.path.relpath(docs.page_of(verb), FOLDER)
    function = f"tunescope.{verb.replace(' ', '_')}"
    lines = [
        f"# {verb}: options",
        "",
        f"Which options does `tunescope {verb}` take, and what does each mean? {entry.summary}",
        "",
        f"[How to use it, with examples]({guide}). In Python it is `{function}(…)`: the same names, with `_` for `-`.",
        "This page is made from the code.",
        "",
        "```text",
        *usage(verb, settings).split("\n"),
        "```",
    ]
    for title in dict.fromkeys(place.values()):
        lines += ["", f"## {title}", "", "| option | takes | default | meaning |", "|---|---|---|---|"]
        lines += [_line(settings, declared, hints[declared.name]) for declared in groups[title]]
    free = [_typed(each, hints[each.name]) for each in fields(settings) if each.metadata.get("role") == "not in key"]
    if free and "out" in place:
        lines += ["", f"A command isn't run again when only these change: {', '.join(free)}."]
    gates = f" and `--fail-on` ({_GATES})" if "out" in place else ""
    lines += ["", f"It also takes `--json` (one JSON object on stdout){gates}."]
    lines += ["", "## Examples", "", "```sh", *(f"tunescope {example}" for example in entry.examples), "```"]
    return "\n".join(lines) + "\n"


def _typed(declared: Field[Any], hint: Any) -> str:
    word = positional_label(declared.name, hint) if declared.metadata.get("positional") else as_option(declared.name)
    return f"`{word}`"


def _line(settings: type[Any], declared: Field[Any], hint: Any) -> str:
    default = default_text(declared.default) if not is_required(declared) else "required"
    cells = [
        _typed(declared, hint),
        expected(declared, hint),
        "required" if default == "required" else f"`{default}`" if default is not False and default != "" else "",
        help_of(settings, declared.name),
    ]
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Return a text as a table's cell; what looks like Markdown or HTML stays as it is."""
    plain = " ".join(str(text).split())
    return re.sub(r"([|<>*\[\]])", r"\\\1", plain) if "`" not in plain else plain.replace("|", "\\|")


def index() -> str:
    """Return the page that lists them, under the questions that verbs answer."""
    lines = [
        "# Options of all verbs",
        "",
        "Which options does a verb take, and what may each be? Each verb has a page, which is made from the code.",
        "",
    ]
    for question, verbs in QUESTIONS.items():
        lines += [f"## {question}", ""]
        lines += [f"- [{verb}]({page_name(verb)}): {entry.summary}" for verb, entry in verbs.items()]
        lines.append("")
    return "\n".join(lines)


def pages() -> dict[Path, str]:
    """Return what each page should say."""
    named = {FOLDER / page_name(verb): page(verb) for verbs in QUESTIONS.values() for verb in verbs}
    return {INDEX: index(), **named}


def main() -> int:
    """Compare or write the pages."""
    wanted = pages()
    there = set(FOLDER.glob("*.md")) if FOLDER.is_dir() else set()
    stale = [path for path, text in wanted.items() if path not in there or path.read_text("utf-8") != text]
    stale += sorted(there - {*wanted})
    if "--write" in sys.argv:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path in there - {*wanted}:
            path.unlink()
        for path, text in wanted.items():
            path.write_text(text, "utf-8")
        return 0
    for path in stale:
        print(f"{path.relative_to(docs.ROOT)} is stale; type make docs")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
