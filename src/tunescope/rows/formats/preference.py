"""Preference rows: one question with a `chosen` and a `rejected` response (TRL, axolotl, LLaMA-Factory, HH-RLHF).

Each side is read as an ordinary record: with the response as text, as Alpaca's columns; with a message or a list of
them, as messages behind those of the question. A side may hold the question as well; then that counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

from tunescope.rows.conversation import Conversation, FormatError, decode_messages, text_of
from tunescope.rows.formats import alpaca, messages, sharegpt
from tunescope.rows.json_text import abbreviate, decode_holder, list_columns
from tunescope.rows.roles import TAG_WORDS, our_role
from tunescope.rows.row import Json, Row

ORDER = -1
NAME = "preference"
ALSO = ("dpo", "ranking")
SHAPE = "columns 'chosen' and 'rejected', each a response or a whole conversation, with the question beside them"
_NAMES = {
    "chosen": ("chosen", "chosen_response", "preferred_output"),
    "rejected": ("rejected", "rejected_response", "non_preferred_output"),
}
_WORDS_OF_MESSAGES = ("system", "tools", "thinking", "train", *TAG_WORDS)
"""Words for columns that a list of messages takes, besides its own."""
_DIALOGUE = re.compile(r"\n\n(Human|Assistant):")
"""What HH-RLHF's dialogues are cut at."""
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}


def detect(record: Mapping[str, Json], hints: Mapping[str, str]) -> dict[str, str] | None:
    """Find both responses, and the columns of the question."""
    columns: dict[str, str] = {}
    for ours, names in _NAMES.items():
        candidates = (hints[ours],) if ours in hints else names
        name = next((n for n in candidates if _is_response(record.get(n))), None)
        if name is None:
            return None
        columns[ours] = name
    for module in (sharegpt, messages):
        listed = module.detect(record, hints)
        if listed is not None:
            return {**columns, **listed}
    asked = alpaca.detect({**record, "output": ""}, {word: name for word, name in hints.items() if word != "output"})
    if asked is not None:
        return {**columns, **{word: name for word, name in asked.items() if word != "output"}}
    if _question_in(record[columns["chosen"]]):
        return {**columns, **{word: word for word in ("system", "tools") if word in record}}
    return None


def _is_response(value: Json) -> bool:
    """Tell whether a value may be a response: a text, a message or a list of messages."""
    if isinstance(value, list):
        return bool(value) and all(map(_object, value))
    return isinstance(value, str | dict)


def _question_in(response: Json) -> bool:
    """Tell whether a side holds the question as well."""
    if isinstance(response, str) and _DIALOGUE.match(response):
        return True
    listed = decode_messages(response)
    return isinstance(listed, list) and bool(listed) and isinstance(listed[0], Mapping)


def parse(record: Mapping[str, Json], columns: Mapping[str, str]) -> Conversation:
    """Read both sides: `messages` is the conversation with the chosen response, `rejected` that with the other."""
    chosen, rejected = (_parse_side(record, columns, side) for side in ("chosen", "rejected"))
    return chosen._replace(rejected=rejected.messages)


def _parse_side(record: Mapping[str, Json], columns: Mapping[str, str], side: str) -> Conversation:
    plain = _plain(record, columns, side)
    conversation: Conversation = plain.module.parse(plain.record, plain.columns)
    if conversation.messages[-1].role != "assistant":
        last = conversation.messages[-1].role
        raise FormatError(f"column {abbreviate(columns[side])}: a last message of the {last}", "an answer")
    return conversation


class _Plain(NamedTuple):
    """One side as a record without preference.

    Attributes:
        module: the format of that record.
        columns: its columns.
        record: the record.
        n_before: how many of its messages come from the columns of the question, in a list of messages.
    """

    module: ModuleType
    columns: dict[str, str]
    record: dict[str, Json]
    n_before: int = 0


def _plain(record: Mapping[str, Json], columns: Mapping[str, str], side: str) -> _Plain:
    value = record.get(columns[side])
    if value is None:
        raise FormatError(f"no {side} response (column {abbreviate(columns[side])} is null)", SHAPE)
    response, asked = _listed(value), _listed_question(record, columns)
    if response is None and asked is None and "instruction" in columns:
        return _Plain(alpaca, {**_without_sides(columns), "output": columns[side]}, dict(record))
    role, content = keys = _keys(asked, response, columns)
    if response is None:
        response = [{role: "assistant", content: text_of(value, f"column {abbreviate(columns[side])}")}]
    if asked is None and columns.get("instruction") in record:
        asked = [{role: "user", content: alpaca.question_of(record, columns)}]
    before = (asked or []) if _is_assistants(response[0], keys) else []
    if not before and _is_assistants(response[0], keys):
        raise FormatError(f"no question (columns: {list_columns(record)})", SHAPE)
    listed = columns.get("messages", "messages")
    others = {word: name for word, name in columns.items() if word in _WORDS_OF_MESSAGES}
    module = sharegpt if role == "from" else messages
    plain_columns = {"messages": listed, "role": role, "content": content, **others}
    return _Plain(module, plain_columns, {**record, listed: [*before, *response]}, len(before))


def _listed_question(record: Mapping[str, Json], columns: Mapping[str, str]) -> list[Json] | None:
    """Return the messages of the question; None where it is text, or stands in the responses."""
    if "messages" in columns:
        listed = decode_holder(record.get(columns["messages"]))
    else:
        listed = decode_messages(record.get(columns.get("instruction", "")))
    return listed if isinstance(listed, list) else None


def _listed(value: Json) -> list[Json] | None:
    """Return a response that is a message, a list of messages or a dialogue as a list; None where it is text."""
    if isinstance(value, str) and _DIALOGUE.match(value):
        _, *parts = _DIALOGUE.split(value)
        pairs = zip(parts[::2], parts[1::2], strict=True)
        return [{"role": _SPEAKERS[speaker], "content": text.strip()} for speaker, text in pairs]
    decoded = decode_messages(value)
    if isinstance(decoded, Mapping):
        return [decoded]
    is_messages = isinstance(decoded, list) and bool(decoded) and not any("type" in _object(item) for item in decoded)
    return decoded if is_messages else None


def _object(item: Json) -> Mapping[str, Json]:
    decoded = decode_holder(item)
    return decoded if isinstance(decoded, Mapping) else {}


def _keys(asked: Json, response: Json, columns: Mapping[str, str]) -> tuple[str, str]:
    """Return what the messages of a side call role and content."""
    if "role" in columns:
        return columns["role"], columns["content"]
    listed = [_object(item) for part in (response, asked) if isinstance(part, list) for item in part]
    return ("from", "value") if listed and "from" in listed[0] else ("role", "content")


def _is_assistants(item: Json, keys: tuple[str, str]) -> bool:
    tag = _object(item).get(keys[0])
    try:
        return isinstance(tag, str) and our_role(tag, "") == "assistant"
    except FormatError:
        return True  # reading it says what is wrong


def _without_sides(columns: Mapping[str, str]) -> dict[str, str]:
    return {word: name for word, name in columns.items() if word not in _NAMES}


def render(row: Row, columns: Mapping[str, str]) -> dict[str, Json]:
    """Write both conversations into their columns, in the form that the record has them in."""
    if not row.rejected:
        raise FormatError("one response", "a chosen and a rejected one")
    record = dict(row.fields)
    for side, conversation in (("chosen", row.messages), ("rejected", row.rejected)):
        record = _render_side(replace(row, messages=conversation, rejected=(), fields=record), columns, side)
    return record


def _render_side(row: Row, columns: Mapping[str, str], side: str) -> dict[str, Json]:
    record = dict(row.fields)
    plain = _plain(record, columns, side)
    rendered: dict[str, Json] = plain.module.render(replace(row, fields=plain.record), plain.columns)
    if plain.module is alpaca:
        return rendered
    column = plain.columns["messages"]
    written = rendered.pop(column)
    if column in record:
        rendered[column] = record[column]
    before, response = written[: plain.n_before], written[plain.n_before :]
    keys = (plain.columns["role"], plain.columns["content"])
    rendered[columns[side]] = _in_form_of(record[columns[side]], response, keys)
    if plain.n_before and before != plain.record[column][: plain.n_before]:
        question = columns.get("messages") or columns["instruction"]
        rendered[question] = _in_form_of(record[question], before, keys)
    return rendered


def _in_form_of(original: Json, written: Sequence[Mapping[str, Any]], keys: tuple[str, str]) -> Json:
    """Return messages as a text, a dialogue, one message or a list, as the original is."""
    if isinstance(original, str):
        if _DIALOGUE.match(original):
            speakers = {role: speaker for speaker, role in _SPEAKERS.items()}
            return "".join(f"\n\n{speakers.get(m[keys[0]], m[keys[0]])}: {m[keys[1]]}" for m in written)
        if decode_messages(original) is not original:
            return json.dumps(written, ensure_ascii=False)
        if len(written) != 1:
            raise FormatError(f"{len(written)} messages, for which the column has no place", "one text")
        return written[0][keys[1]]
    return written[0] if isinstance(original, Mapping) and len(written) == 1 else list(written)
