"""Answers of made-up systems, and fakes that judge them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tools import write_rows

FIRST = r"answer 1[^\n]*===\n"
SECOND = r"answer 2[^\n]*===\n"
MARK = r".*(?P<mark>[0-9a-f]{8}): [SC][CH]O"
"""The mark, before SCORE-1 or CHOICE in the prompt's last line."""


def outputs(path: Path, generator: str, answers: dict[str, str], **columns: Any) -> str:
    """Write AlpacaEval's outputs; return the file's name."""
    write_rows(
        path, [{"instruction": q, "output": text, "generator": generator, **columns} for q, text in answers.items()]
    )
    return path.name


def judge(path: Path, *lines: tuple[str, str] | dict[str, Any]) -> str:
    r"""Write a fake: (pattern, reply) where \g<mark> in the reply is the prompt's mark, or a line as it is."""
    made = [
        line if isinstance(line, dict) else {"pattern": line[0] + MARK, "reply": line[1], "expand": True}
        for line in lines
    ]
    write_rows(path, made)
    return f"fake:{path.name}"


def scores(first: str, second: str, said: str) -> tuple[str, str]:
    """Score two answers by how they begin, as they are shown."""
    return f"{FIRST}{first}.*{SECOND}{second}", rf"As I see it.\n\g<mark>: {said}"
