"""Where the page's numbers come from: the command of each run, its versions, and links to its tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from tunescope.foreign import escape_sentence
from tunescope.runs import Run
from tunescope.settings import as_command
from tunescope.verbs import VERBS
from tunescope.views import counted

_TABLES = (".parquet", ".jsonl", ".json", ".csv")


def provenance_html(opened: Sequence[Run], page: Path) -> str:
    """Return a part for each run; links are relative to the page's folder."""
    return "\n".join(_run(run, page) for run in opened)


def _run(run: Run, page: Path) -> str:
    verb = VERBS.get(run.verb)
    command = as_command(run.verb, verb.settings_class(), run.settings) if verb else f"tunescope {run.verb}"
    about = [f"version {run.info['version']} of the verb", f"on {run.info['device']}"]
    files = [name for name in run.info.get("outputs", {}) if name.endswith(_TABLES)]
    listed = "".join(f"<li>{_link(run.path / name, page, name)}</li>" for name in ("run.json", *files))
    versions = ", ".join(f"{name} {version}" for name, version in sorted(run.info["versions"].items()))
    contents = run.info["inputs"].items()
    inputs = "".join(f"<li>{escape_sentence(name)}: {escape_sentence(str(content))}</li>" for name, content in contents)
    made_from = f"<p>{counted(len(contents), 'input')}, by content:</p><ul>{inputs}</ul>" if inputs else ""
    said = escape_sentence(f"{', '.join(about)}. {versions}.")
    return (
        f'<details class="run"><summary>{escape_sentence(run.verb)} <small>{escape_sentence(str(run.path))}</small>'
        f'</summary><pre tabindex="0"><code>{escape_sentence(command)}</code></pre><p>{said}</p>'
        f"{made_from}<p>Tables:</p><ul>{listed}</ul></details>"
    )


def _link(file: Path, page: Path, name: str) -> str:
    """Return a link that works wherever the page and the run folders are moved together."""
    try:
        place = os.path.relpath(file.resolve(), page.resolve())
    except ValueError:  # another drive
        return escape_sentence(name)
    return f'<a href="{quote(Path(place).as_posix())}">{escape_sentence(name)}</a>'
