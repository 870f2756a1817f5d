r"""`fake:FILE`: an oracle without a model, for trying things out and for tests.

FILE is JSON lines. Each line has `pattern`, a regular expression looked for in the last message, and `reply`;
the first line whose pattern is found answers. With `"expand": true`, `\1` or `\g<name>` in the reply stand
for the pattern's groups. `finish_reason` is "stop" unless the line says otherwise; null says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.errors import InputError, Problem, RejectedRequest
from tunescope.oracle.api import RawReply

FAKE_PREFIX = "fake:"
EXPECTED = 'an object such as {"pattern": "colou?r", "reply": "Score: 4"}'


class FakeReply(NamedTuple):
    """One line of the file."""

    pattern: re.Pattern[str]
    reply: str
    expand: bool
    finish_reason: str | None


def read_fake(path: Path) -> list[FakeReply]:
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
            if not fit or not record.keys() <= {*FakeReply._fields}:
                raise ValueError("something else")
            pattern = re.compile(record["pattern"], re.DOTALL)
            if record.get("expand"):
                pattern.sub(record["reply"], "")  # raises for a group that the pattern doesn't have
        except (ValueError, IndexError, RecursionError, re.error) as error:
            problems.append(Problem(str(path), number, str(error), EXPECTED))
            continue
        ending = record.get("finish_reason", "stop")
        ending = ending if ending is None else str(ending)
        lines.append(FakeReply(pattern, record["reply"], bool(record.get("expand")), ending))
    if not lines and not problems:
        problems.append(Problem(str(path), None, "no lines", EXPECTED))
    if problems:
        raise InputError(problems)
    return lines


def fake_reply(prompt: str, text: str, finish_reason: str | None) -> RawReply:
    """Return a fake's reply in the API's form; it counts characters/4 as tokens."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": -(-len(prompt) // 4), "completion_tokens": -(-len(text) // 4)}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return RawReply(json.dumps({"choices": [choice], "usage": usage}).encode())


class Fake:
    """Answers from a file, always alike."""

    max_concurrency: int | None = None
    """How many calls it takes at a time: as many as the settings allow."""

    def __init__(self, lines: Sequence[FakeReply]) -> None:
        """Take the lines of `read_fake`."""
        self._lines = lines

    async def __aenter__(self) -> Fake:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""

    async def send(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> RawReply:
        """Answer in the API's form; raises `RejectedRequest` where no pattern matches."""
        prompt = str(messages[-1]["content"])
        for line in self._lines:
            match = line.pattern.search(prompt)
            if match is not None:
                text = match.expand(line.reply) if line.expand else line.reply
                return fake_reply(prompt, text, line.finish_reason)
        raise RejectedRequest("the fake has no pattern for this prompt")

    async def is_answering(self) -> bool:
        """Tell that it is there."""
        return True
