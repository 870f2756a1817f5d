"""The page around its sections. It is one file that loads nothing; its policy allows only what is in it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tunescope.foreign import escape_sentence, replace_steering
from tunescope.html import fill_template, json_in_html
from tunescope.runs import Run

if TYPE_CHECKING:
    from tunescope.verbs.report.badges import Badge
    from tunescope.verbs.report.opening import Told
    from tunescope.verbs.report.tiles import Tile

QUESTIONS = ("Rows", "Tuning", "Answers", "Scores", "Judges", "Dose", "Provenance")
"""What the page is ordered by, and what its bar leads to; Answers come first where the first section is theirs."""
_LIBRARIES = {"rows": "vendor/diff.min", "xray": "vendor/diff.min", "tuning": "vendor/uplot.min"}
"""What each component's script stands on: jsdiff 9.0.0 and uPlot 1.6.32, with their licences beside them."""
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
"""Characters that JSON may hold and UTF-8 can't. Each becomes one replacement character, so offsets stay right."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: which question it is about, a heading, trusted HTML, and the runs behind it.

    `data` is JSON for the script `component`.js; a section without one has neither.
    """

    question: str
    anchor: str
    heading: str
    html: str
    runs: tuple[str, ...]
    component: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the page begins with: its title, gates, numbers, what to type next and why, and the same in sentences."""

    title: str
    badges: Sequence[Badge]
    lead: str
    """What the page is about in one sentence, "" where its tiles say it."""
    told: Sequence[Told]
    """What the model said to some claims' own questions, before and after."""
    tiles: Sequence[Tile]
    sentences: Sequence[str]
    notes: Sequence[str]
    step: tuple[str, str] | None
    """A purpose and a command."""


def section(
    question: str, anchor: str, heading: str, html: str, made_by: Sequence[Run], component: str = "", data: Any = None
) -> Section:
    """Make a section; `html` is trusted. `data` is written in few characters, without those that steer the page."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False) if component else ""
    runs = tuple(str(run.path) for run in made_by)
    return Section(question, anchor, heading, html, runs, component, replace_steering(text))


def folded(summary: str, html: str) -> str:
    """Fold a part whose gist stands above it; `html` is trusted."""
    return f'<details class="part"><summary>{escape_sentence(summary)}</summary>{html}</details>'


def fill(template: str, **values: Any) -> str:
    """Fill a template of this folder; every text in it is escaped."""
    return fill_template("tunescope.verbs.report", template, **values)


def render(opening: Opening, sections: Sequence[Section], opened: Sequence[Run]) -> str:
    """Return the page. Its policy allows the one style and the scripts in it, by their hashes."""
    from markupsafe import Markup

    components = dict.fromkeys(section.component for section in sections if section.component)
    style = _file("page.css") + (_file("vendor/uplot.min.css") if "tuning" in components else "")
    libraries = dict.fromkeys(_LIBRARIES[component] for component in components)
    scripts = [_file(f"{name}.js") for name in ("page", *libraries, *components)]
    order = ("Answers", *QUESTIONS) if sections[0].question == "Answers" else QUESTIONS
    grouped = [(question, [s for s in sections if s.question == question]) for question in dict.fromkeys(order)]
    page = fill(
        "page.html.j2",
        opening=opening,
        groups=[(question, members) for question, members in grouped if members],
        data=[(s.component, s.anchor, json_in_html(s.data)) for s in sections if s.component],
        style=Markup(style),
        style_hash=_digest(style),
        scripts=[Markup(script) for script in scripts],
        script_hashes=[_digest(script) for script in scripts],
        versions=_versions(opened),
    )
    return _LONE_SURROGATES.sub("\ufffd", page)


def _file(name: str) -> str:
    return files("tunescope.verbs.report").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _versions(opened: Sequence[Run]) -> str:
    versions: dict[str, str] = {}
    for run in opened:
        versions |= run.info["versions"]
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
