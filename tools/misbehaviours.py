"""Write the tables of docs/proofs/servers.md: what servers do wrong, where that was seen, what tunescope makes of it.

python tools/misbehaviours.py            # exit 1 where the page says something else
python tools/misbehaviours.py --write    # write the page
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tunescope.oracle.hostile.beside import ECHOES, USAGE
from tunescope.oracle.hostile.bodies import BODIES
from tunescope.oracle.hostile.misbehaviour import GIVES, Misbehaviour
from tunescope.oracle.hostile.replies import ENDINGS, FORMS, ORDERS, THOUGHTS
from tunescope.oracle.hostile.statuses import STATUSES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "proofs" / "servers.md"
TABLES = re.compile(r"(<!-- misbehaviours -->\n).*?(<!-- /misbehaviours -->)", re.DOTALL)
GROUPS: dict[str, Sequence[Misbehaviour]] = {
    "Errors": STATUSES,
    "Bodies and connections": BODIES,
    "How replies end": ENDINGS,
    "Thoughts": THOUGHTS,
    "Token counts": USAGE,
    "What is repeated": ECHOES,
    "The form of replies": FORMS,
    "What comes after what": ORDERS,
}


def render() -> str:
    """Return the tables, a section each."""
    lines = []
    for title, misbehaviours in GROUPS.items():
        lines += ["", f"## {title}", "", "| name | the server | tunescope | seen in |", "|---|---|---|---|"]
        for each in misbehaviours:
            cells = [f"`{each.name}`", each.sends, GIVES[each.gives], each.source]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines).strip() + "\n"


def page(text: str) -> str:
    """Return the page with its tables as they should be."""
    return TABLES.sub(lambda found: found[1] + render() + found[2], text)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or look at it; return the exit code."""
    text = PAGE.read_text("utf-8")
    if "--write" in arguments:
        PAGE.write_text(page(text), "utf-8")
        return 0
    return int(page(text) != text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
