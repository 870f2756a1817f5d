"""What `check --masks` says of every chat template that TRL ships, as a table in docs/concepts/chat.md.

    python benchmarks/mask_table.py [--write]

Each template is tried with a stand-in tokenizer, as its generation marks have it supervised, and as `tune` does it. A
template and its patched form for training (`NAME_training`) are one line.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tunescope.chat.masks import Supervise, TrialMask, try_masks, without_model
from tunescope.models import silence_libraries

PAGE = Path(__file__).parents[1] / "docs" / "concepts" / "chat.md"
TABLE = re.compile(r"(<!-- masks -->\n).*?(<!-- /masks -->)", re.DOTALL)


def shipped() -> dict[str, Path]:
    """Return TRL's templates by name."""
    spec = find_spec("trl")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "chat_templates"
    return {path.stem: path for path in sorted(folder.glob("*.jinja"))}


def table() -> str:
    """Return the table: a line for each template."""
    templates = shipped()
    lines = [
        "| template | as shipped, by its marks | as TRL patches it for training | `tune` refuses |",
        "|---|---|---|---|",
    ]
    with silence_libraries():
        lines += [_line(name, templates) for name in templates if not name.endswith("_training")]
    return "\n".join(lines) + "\n"


def _line(name: str, templates: dict[str, Path]) -> str:
    patched = templates.get(f"{name}_training")
    cells = [_faults(templates[name], "marked"), _faults(patched, "marked") if patched else "not shipped"]
    tried = _tried(templates[name], "tune")
    refused = [mask.trial.name for mask in tried if mask.refusal.startswith("the template refuses")]
    return f"| {name} | {cells[0]} | {cells[1]} | {', '.join(refused) or '–'} |"


def _faults(path: Path, supervise: Supervise) -> str:
    faults = dict.fromkeys(fault for mask in _tried(path, supervise) for fault in mask.faults)
    return ", ".join(f"`{fault}`" for fault in faults) or "no fault"


def _tried(path: Path, supervise: Supervise) -> Iterator[TrialMask]:
    yield from try_masks(without_model(str(path), {}), supervise)


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/concepts/chat.md")
    if parser.parse_args().write:
        page, text = PAGE.read_text("utf-8"), table()
        PAGE.write_text(TABLE.sub(lambda match: f"{match[1]}{text}{match[2]}", page), "utf-8")
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()
