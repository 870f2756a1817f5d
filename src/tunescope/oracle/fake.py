r"""`fake:FILE`: an oracle without a model, for trying things out and for tests.

FILE is JSON lines. Each line has `pattern`, a regular expression looked for in the last message, and `reply`;
the first line whose pattern is found answers. With `"expand": true`, `\1` or `\g<name>` in the reply stand
for the pattern's groups. `finish_reason` is "stop" unless the line says otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.errors import InputError, Problem
from tunescope.oracle.client import Raw, Refused, Reply, read_body, read_reply

PREFIX = "fake:"
EXPECTED = 'an object such as {"pattern": "colou?r", "reply": "Score: 4"}'


class Line(NamedTuple):
    """One line of the file."""

    pattern: re.Pattern[str]
    reply: str
    expand: bool
    finish_reason: str


def read_fake(path: Path) -> list[Line]:
    """Read the file; raises `InputError` with every line that can't be one."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "bytes that aren't UTF-8"
        raise InputError([Problem(str(path), None, str(reason), "JSON lines with pattern and reply")]) from error
    lines, problems = [], []
    for number, words in enumerate(text.splitlines(), 1):
        if not words.strip():
            continue
        try:
            record = json.loads(words)
            fit = isinstance(record, dict) and all(isinstance(record.get(name), str) for name in ("pattern", "reply"))
            if not fit or not record.keys() <= {*Line._fields}:
                raise ValueError("something else")
            pattern = re.compile(record["pattern"], re.DOTALL)
            if record.get("expand"):
                pattern.sub(record["reply"], "")  # raises for a group that the pattern doesn't have
        except (ValueError, IndexError, re.error) as error:
            problems.append(Problem(str(path), number, str(error), EXPECTED))
            continue
        ending = str(record.get("finish_reason", "stop"))
        lines.append(Line(pattern, record["reply"], bool(record.get("expand")), ending))
    if not lines and not problems:
        problems.append(Problem(str(path), None, "no lines", EXPECTED))
    if problems:
        raise InputError(problems)
    return lines


class Fake:
    """Answers from a file, always alike; it counts characters/4 as tokens."""

    most: int | None = None
    """How many calls it takes at a time: as many as the settings allow."""

    def __init__(self, lines: Sequence[Line]) -> None:
        """Take the lines of `read_fake`."""
        self._lines = lines

    async def __aenter__(self) -> Fake:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""

    async def once(self, messages: Sequence[Mapping[str, Any]], decoding: Mapping[str, Any]) -> Raw:
        """Answer in the API's form; raises `Refused` where no pattern is found."""
        asked = str(messages[-1]["content"])
        for line in self._lines:
            found = line.pattern.search(asked)
            if found is not None:
                text = found.expand(line.reply) if line.expand else line.reply
                message = {"role": "assistant", "content": text}
                usage = {"prompt_tokens": -(-len(asked) // 4), "completion_tokens": -(-len(text) // 4)}
                choice = {"index": 0, "message": message, "finish_reason": line.finish_reason}
                return Raw(json.dumps({"choices": [choice], "usage": usage}).encode())
        raise Refused("the fake has no pattern for this prompt")

    async def answers(self) -> bool:
        """Tell that it is there."""
        return True

    def read(self, body: bytes) -> Reply:
        """Read what `once` gave, or a server's reply in a journal; raises as `Client.read`."""
        return read_body(body, read_reply)
