"""The row: one training example, frozen, with an id made from its content.

A row is a conversation (`messages`, and `tools` where there are any). The columns of the
source file stay in `fields`, so that a row is written back in the form it came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tunescope.locations import Location
from tunescope.rows.content import content_id, n_shared
from tunescope.rows.message import ROLES, Json, Message

__all__ = ["ROLES", "Json", "LineageStep", "Message", "RepeatCounter", "Row", "content_id"]


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
        media: images, audio and video that the record names, as (column, value) pairs.
        rejected: of a preference row, the whole conversation with the rejected response; `messages` has the chosen one.
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
    media: tuple[Json, ...] = ()
    rejected: tuple[Message, ...] = ()

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
        """Return a new row with other messages, a new id, and `step` at the end of its lineage.

        What a preference row's two conversations begin with changes in both.
        """
        rejected = self.rejected
        if rejected:
            n = n_shared(self.messages, rejected)
            rejected = (*messages[:n], *rejected[n:])
        return self.with_responses(messages, rejected, step)

    def with_responses(self, messages: tuple[Message, ...], rejected: tuple[Message, ...], step: LineageStep) -> Row:
        """Return a new row with two other conversations, a new id, and `step` at the end of its lineage."""
        row_id = content_id(messages, self.tools, self.media, rejected)
        return replace(self, id=row_id, messages=messages, rejected=rejected, lineage=(*self.lineage, step))

    @property
    def rejected_row(self) -> Row:
        """A preference row's other side: a row with the rejected conversation alone."""
        return replace(self, messages=self.rejected, rejected=())


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
