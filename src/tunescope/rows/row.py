"""The row: one training example, frozen, with an id made from its content.

A row is a conversation (`messages`, and `tools` where there are any). The columns of the
source file stay in `fields`, so that a row is written back in the form it came in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from tunescope.locations import Location

Json = Any
"""A value that JSON can hold."""

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    `content` is None only where the message consists of tool calls. `train` is the per-turn
    loss flag: None (not given), True (trained on) or False (masked).
    """

    role: str
    content: str | None
    tool_calls: tuple[Mapping[str, Json], ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    thinking: str | None = None
    train: bool | None = None


@dataclass(frozen=True, slots=True)
class LineageStep:
    """One entry of a row's lineage: which operation made it, out of which rows.

    Attributes:
        operation: the verb, such as `repair reflect`.
        version: of the operation.
        parents: ids of the rows that it was made from.
        reason: why the row was changed.
        prompt_hash: hash of the oracle's prompt template.
        call_ids: the oracle calls that it rests on.
        old: the values that the operation replaced, by name.
        notes: remarks about the row, by name; written only where there are some.
    """

    operation: str
    version: int
    parents: tuple[str, ...]
    reason: str = ""
    prompt_hash: str | None = None
    call_ids: tuple[str, ...] = ()
    old: Mapping[str, Json] = field(default_factory=dict)
    notes: Mapping[str, Json] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """Return the step as the object written to `NAME.lineage.jsonl`."""
        return {
            "operation": self.operation,
            "version": self.version,
            "parents": list(self.parents),
            "reason": self.reason,
            "prompt_hash": self.prompt_hash,
            "call_ids": list(self.call_ids),
            "old": dict(self.old),
            **({"notes": dict(self.notes)} if self.notes else {}),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Json]) -> LineageStep:
        """Read what `as_json` wrote."""
        return cls(
            operation=record["operation"],
            version=record["version"],
            parents=tuple(record["parents"]),
            reason=record["reason"],
            prompt_hash=record["prompt_hash"],
            call_ids=tuple(record["call_ids"]),
            old=record["old"],
            notes=record.get("notes", {}),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A training example.

    Attributes:
        id: content hash (16 hex digits), with `.2`, `.3` … for exact repeats in file order.
        origin: the id at first reading; survives every change.
        messages: the conversation.
        tools: tool declarations given beside the messages.
        fields: the source record, column by column, as read.
        file: name of the file it was read from, as given by the user.
        line: line in that file on which it begins, from 1 (the row's number in Parquet and hub data sets).
        lineage: what happened to it since first reading, oldest first.
        record: its number in the file, where the line doesn't tell it from other rows (see `Location`).
    """

    id: str
    origin: str
    messages: tuple[Message, ...]
    tools: tuple[Json, ...] = ()
    fields: Mapping[str, Json] = field(default_factory=dict)
    file: str = ""
    line: int = 0
    lineage: tuple[LineageStep, ...] = ()
    record: int | None = None

    @property
    def location(self) -> Location:
        """Where it was read."""
        return Location(self.file, self.line, self.record)

    def turns(self) -> Iterator[tuple[int, tuple[Message, ...], Message]]:
        """Yield (turn number from 0, everything before it, the assistant message)."""
        turn = 0
        for position, message in enumerate(self.messages):
            if message.role == "assistant":
                yield turn, self.messages[:position], message
                turn += 1

    @property
    def instruction(self) -> str:
        """The first user message's text, or "" where there is none."""
        return next((m.content or "" for m in self.messages if m.role == "user"), "")

    @property
    def response(self) -> str:
        """The last assistant message's text, or "" where there is none."""
        return next((m.content or "" for m in reversed(self.messages) if m.role == "assistant"), "")

    def with_messages(self, messages: tuple[Message, ...], step: LineageStep) -> Row:
        """Return a new row with other messages, a new id, and `step` at the end of its lineage."""
        return replace(
            self,
            id=content_id(messages, self.tools),
            messages=messages,
            lineage=(*self.lineage, step),
        )


def _canonical(message: Message) -> list[Json]:
    """List what a model would see of a message."""
    return [
        message.role,
        message.content,
        message.tool_calls,
        message.tool_call_id,
        message.name,
        message.thinking,
        message.train,
    ]


def _is_more_than_text(message: Message) -> bool:
    return bool(
        message.tool_calls
        or message.tool_call_id is not None
        or message.name is not None
        or message.thinking is not None
        or message.train is not None
    )


def content_id(messages: tuple[Message, ...], tools: tuple[Json, ...] = ()) -> str:
    """Hash what a model would see: 64 bits of BLAKE2b as 16 hex digits.

    At a million different rows two ids meet with probability 3e-8.
    """
    if not tools and not any(map(_is_more_than_text, messages)):
        # lengths keep the parts apart
        text = "".join([f"{len(m.role)}:{m.role}{len(m.content or '')}:{m.content or ''}" for m in messages])
        return blake2b(text.encode(), digest_size=8).hexdigest()
    text = json.dumps([[_canonical(m) for m in messages], tools], ensure_ascii=False, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=8).hexdigest()


class RepeatCounter:
    """Gives exact repeats their ordinals, in order: `a`, `b`, `a.2`, `a.3`."""

    def __init__(self) -> None:
        """Start without any id."""
        self._counts: dict[int, int] = {}

    def name(self, base: str) -> str:
        """Return `base`, or `base.N` when it is the N-th of its kind."""
        key = int(base, 16)
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        return base if count == 1 else f"{base}.{count}"
