"""What a reply must hold: named fields, asked for as JSON or as tagged sections, and parsed from either. Pure.

The instructions for the reply go into the prompt where a template says `{{ form }}`. For JSON the call carries a schema
as well (`response_format`), and servers that can do so hold the model to it. A field that isn't there, or isn't what
was asked for, is missing, and the status says so. Nothing has a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from tunescope.oracle.grades import Grade, read_grade
from tunescope.oracle.json_objects import begun_object, object_of
from tunescope.oracle.replies import NO_CHANGE, NOT_A_REQUEST, ParsedReply, Reply, places, tag_for
from tunescope.text.declining import declines
from tunescope.views import shorten

_HALF_A_PAIR = "half of a surrogate pair is in the reply, which no file can hold"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a reply.

    Attributes:
        name: its tag, and its name in JSON.
        description: what the model is told to write in it.
        maximum: of a number from 0 to this (infinity: no limit); None for text.
        label: of a number, one more word that may stand before it ("Accuracy: 4").
        optional: a reply without it is complete.
        choices: the only texts that count, where there are any.
        is_request: whether it has to ask for something, as an instruction does.
    """

    name: str
    description: str
    maximum: float | None = None
    label: str = ""
    optional: bool = False
    choices: tuple[str, ...] = ()
    is_request: bool = False

    @property
    def kind(self) -> str:
        """Return the kind of value in a word or two, as the instructions have it."""
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        return "text" if self.maximum is None else f"a number{_scale(self.maximum)}"

    def json_schema(self) -> dict[str, Any]:
        """Return its JSON schema."""
        kind = {"type": "string" if self.maximum is None else "number", "description": self.description}
        return kind | ({"enum": list(self.choices)} if self.choices else {})

    def accepts(self, text: str) -> bool:
        """Tell whether a text can stand in it: one of its choices, or one that isn't empty and doesn't say "no change".

        "None." and an emoji can be answers. They are no requests, and say nothing where nothing had to be said.
        """
        from tunescope.text.words import visible

        if self.choices:
            return text in self.choices
        may_answer = not (self.is_request or self.optional) or NOT_A_REQUEST.fullmatch(text) is None
        return visible(text) and may_answer and NO_CHANGE.fullmatch(text) is None


@dataclass(frozen=True, slots=True)
class ReplySchema:
    """The fields of a reply, in order; `name` is the JSON schema's name (letters, digits, _ and -).

    A schema without fields asks for nothing: the reply is free text.
    """

    name: str
    fields: tuple[Field, ...]

    def json_schema(self) -> dict[str, Any]:
        """Return what stands under `json_schema` in a call's `response_format`: all fields required, no others."""
        properties = {field.name: field.json_schema() for field in self.fields}
        schema = {
            "type": "object",
            "properties": properties,
            "required": [*properties],
            "additionalProperties": False,
        }
        return {"name": self.name, "strict": True, "schema": schema}

    def json_instructions(self) -> str:
        """Return the instructions for a reply in JSON."""
        lines = ["Reply with one JSON object and nothing else. It has these fields, in this order:"]
        lines += [f'"{field.name}" ({field.kind}): {field.description}' for field in self.fields]
        return "\n".join(lines)

    def tags(self, *shown: str) -> dict[str, str]:
        """Return the texts' tags by name, chosen so that nothing the prompt shows has them."""
        return {field.name: tag_for(field.name, *shown) for field in self.fields if field.maximum is None}

    def tag_instructions(self, tags: Mapping[str, str]) -> str:
        """Return the instructions for a reply in tagged sections; a number stands on a line of its own."""
        lines = ["Use exactly this form, each tag on a line of its own:"]
        for field in self.fields:
            if field.maximum is None:
                description = f"{field.description} ({field.kind})" if field.choices else field.description
                lines += [f"<{tags[field.name]}>", description, f"</{tags[field.name]}>"]
            else:
                lines.append(f"{field.name.capitalize()}: NUMBER")
        return "\n".join(lines)

    def parse_tags(self, reply: Reply, tags: Mapping[str, str]) -> ParsedReply:
        """Parse a reply that was asked for in tagged sections."""
        text = reply.text
        if not _is_text(text):
            return self._with_status(reply, False, {}, {}, tags)
        spans = places(text, [*tags], [*tags.values()])
        texts = {name: text[start:end].strip() for name, (start, end) in spans.items()}
        is_whole = reply.ending == "whole" or (reply.ending == "unknown" and _ends_with_a_tag(text, tags))
        outside = text
        for start, end in sorted(spans.values(), reverse=True):
            outside = outside[:start] + outside[end:]
        outside = _whole_lines(outside, is_whole)
        numbers = {field.name: _grade(outside, field) for field in self.fields if field.maximum is not None}
        return self._with_status(reply, is_whole, texts, numbers, tags)

    def parse_json(self, reply: Reply) -> ParsedReply:
        """Parse a reply that was asked for in JSON: an object, alone or in a fence.

        A field that occurs twice is missing, since nothing says which one is meant. Where a number is all that was
        asked for, it is also read in text, as `parse_tags` does.
        """
        values, is_closed = object_of(reply.text) if _is_text(reply.text) else ({}, False)
        is_whole = reply.ending == "whole" or (reply.ending == "unknown" and is_closed)
        if not is_whole and not is_closed:
            values = begun_object(reply.text)
        texts, numbers = dict[str, str](), dict[str, Grade]()
        for field in self.fields:
            value = values.get(field.name)
            if field.maximum is not None:
                is_text = field.name not in values and [field] == [each for each in self.fields if not each.optional]
                numbers[field.name] = _grade(_whole_lines(reply.text, is_whole) if is_text else value, field)
            elif isinstance(value, str) and _is_text(value):
                texts[field.name] = value if field.choices else value.strip()
        return self._with_status(reply, is_whole, texts, numbers, None)

    def _with_status(
        self,
        reply: Reply,
        is_whole: bool,
        texts: Mapping[str, str],
        numbers: Mapping[str, Grade],
        tags: Mapping[str, str] | None,
    ) -> ParsedReply:
        """Return the fields that are there, with what is missing; without `tags` the reply was asked for in JSON."""
        text = reply.text
        texts = {field.name: texts[field.name] for field in self.fields if field.accepts(texts.get(field.name, ""))}
        there = {name: grade.value for name, grade in numbers.items() if grade.value is not None}
        needed = [field for field in self.fields if not field.optional]
        missing = [field for field in needed if field.name not in texts and field.name not in there]
        if reply.ending == "refused":
            return ParsedReply("refused", {}, {}, reply.describe_ending(), reply)
        if tags is None and not there and texts and all(map(declines, texts.values())):  # no other place to decline in
            return ParsedReply("refused", {}, {}, _start(next(iter(texts.values()))), reply)
        if not _is_text(text):
            return ParsedReply("unparsed", {}, {}, _HALF_A_PAIR, reply)
        if not missing and (self.fields or is_whole):
            return ParsedReply("ok", texts, there, "", reply)
        problem = " and ".join(_absence(field, numbers.get(field.name), tags, text) for field in missing)
        if reply.ending != "cut" and len(missing) == len(needed) and declines(text):
            return ParsedReply("refused", texts, there, _start(text), reply)
        if not is_whole:
            return ParsedReply("truncated", texts, there, _cut(reply, problem), reply)
        if len(missing) < len(needed):
            return ParsedReply("partial", texts, there, problem, reply)
        return ParsedReply("unparsed", texts, there, problem, reply)


def _is_text(text: str) -> bool:
    """Tell text from what no file can hold: half of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text) if not text.isascii() else True


def _grade(value: Any, field: Field) -> Grade:
    """Return a number, or one that is written as text, where it is on the scale."""
    assert field.maximum is not None
    return read_grade(value, 0, field.maximum, field.label)


def _whole_lines(text: str, is_whole: bool) -> str:
    """Return a text, without its last line where it was cut within it: 4 may have been 4.5."""
    return text if is_whole or text.endswith("\n") else text.rpartition("\n")[0]


def _scale(maximum: float) -> str:
    return f" from 0 to {maximum:g}" if isfinite(maximum) else ""


def _absence(field: Field, grade: Grade | None, tags: Mapping[str, str] | None, text: str) -> str:
    if grade is not None:
        scale = _scale(field.maximum or 0)
        match grade.why:
            case "out_of_range":
                return f"{field.name} {grade.said}, which isn't{scale}"
            case "other_scale":
                return f"{field.name} {grade.said}, which is on another scale than{scale}"
            case "ambiguous":
                return f"different numbers for {field.name}: {grade.said}"
        return f"no one {field.name}{scale} in {_start(text)}"
    if tags is None:
        return f"no {'choice' if field.choices else 'text'} under {field.name} in the reply's JSON"
    return f"no whole section <{tags[field.name]}> in the reply"


def _ends_with_a_tag(text: str, tags: Mapping[str, str]) -> bool:
    """Tell whether a reply ends as it was asked to, with the closing tag of its last section."""
    return bool(tags) and text.rstrip().endswith(f"</{[*tags.values()][-1]}>")


def _cut(reply: Reply, problem: str) -> str:
    """Say what a reply lacks that isn't whole; and how it ended, unless at its length."""
    if reply.is_only_thoughts or not problem:
        return reply.describe_ending()
    return problem if reply.finish_reason == "length" else f"{problem}; {reply.describe_ending()}"


def _start(text: str) -> str:
    return repr(shorten(" ".join(text.split()), 80))
