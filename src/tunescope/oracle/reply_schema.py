"""What a reply must hold: parts by name, asked for as tagged sections or as JSON, and read back from either. Pure.

A form is written into the prompt where a template says `{{ form }}`. As JSON, the call carries a schema besides
(`response_format`), which servers that can hold the model to. What isn't there, or isn't what was asked for, is
missing, and the status says so; nothing defaults.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, NamedTuple

from tunescope.oracle.replies import DECLINED, DECLINES, NOTHING, Status, places, rating_of, tag_for

Way = Literal["json", "tags"]
"""How replies are asked for."""
FENCED = re.compile(r"```[A-Za-z]*[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)
BEGUN, NAME, COMMA = re.compile(r"(?:```[A-Za-z]*)?\s*\{"), re.compile(r'\s*"(\w+)"\s*:\s*'), re.compile(r"\s*,")
"""How an object begins, a field in it, and what ends the field."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a reply.

    Attributes:
        name: what it is called, as a tag and in JSON.
        says: what stands in it.
        best: for a number from 0 to this (infinity: to any); None for text.
        about: for a number, one more word that may stand before it ("Accuracy: 4").
        optional: a reply without it is whole all the same.
        choices: for text that is one of these and nothing else.
    """

    name: str
    says: str
    best: float | None = None
    about: str = ""
    optional: bool = False
    choices: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Say what stands in it, in a word or two."""
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        return "text" if self.best is None else f"a number{_scale(self.best)}"

    def schema(self) -> dict[str, Any]:
        """Return its JSON schema."""
        kind = {"type": "string" if self.best is None else "number", "description": self.says}
        return kind | ({"enum": list(self.choices)} if self.choices else {})

    def holds(self, text: str) -> bool:
        """Tell whether a text can stand in it: one of its choices, or one that says something."""
        return text in self.choices if self.choices else NOTHING.fullmatch(text) is None


class Filled(NamedTuple):
    """A form as a reply filled it in.

    Attributes:
        status: ok where no part is missing but optional ones.
        texts, numbers: the parts found, by name.
        why: what is missing, "" where the status is ok.
        said: the reply as it came.
    """

    status: Status
    texts: dict[str, str]
    numbers: dict[str, float]
    why: str
    said: str


@dataclass(frozen=True, slots=True)
class Form:
    """The parts, in their order; `name` is what the schema is called (letters, digits, _ and -).

    A form without parts asks for nothing: the reply is text as it stands.
    """

    name: str
    parts: tuple[Part, ...]

    def schema(self) -> dict[str, Any]:
        """Return what stands under `json_schema` in a call's `response_format`: all parts required, no others."""
        properties = {part.name: part.schema() for part in self.parts}
        schema = {
            "type": "object",
            "properties": properties,
            "required": [*properties],
            "additionalProperties": False,
        }
        return {"name": self.name, "strict": True, "schema": schema}

    def as_json(self) -> str:
        """Return the instructions for a reply in JSON."""
        lines = ["Reply with one JSON object and nothing else. It has these fields, in this order:"]
        lines += [f'"{part.name}" ({part.kind}): {part.says}' for part in self.parts]
        return "\n".join(lines)

    def tags(self, *shown: str) -> dict[str, str]:
        """Return the texts' tags by name, chosen so that nothing the prompt shows has them."""
        return {part.name: tag_for(part.name, *shown) for part in self.parts if part.best is None}

    def as_tags(self, tags: Mapping[str, str]) -> str:
        """Return the instructions for a reply in tagged sections; a number stands on a line of its own."""
        lines = ["Use exactly this form, each tag on a line of its own:"]
        for part in self.parts:
            if part.best is None:
                says = f"{part.says} ({part.kind})" if part.choices else part.says
                lines += [f"<{tags[part.name]}>", says, f"</{tags[part.name]}>"]
            else:
                lines.append(f"{part.name.capitalize()}: NUMBER")
        return "\n".join(lines)

    def read_tags(self, text: str, finish_reason: str | None, tags: Mapping[str, str]) -> Filled:
        """Read a reply that was asked for in tagged sections."""
        if not _is_text(text):
            return self._filled(text, finish_reason, {}, {}, tags)
        found = places(text, [*tags], [*tags.values()])
        texts = {name: text[start:end].strip() for name, (start, end) in found.items()}
        outside = text
        for start, end in sorted(found.values(), reverse=True):
            outside = outside[:start] + outside[end:]
        lines = outside.splitlines()
        if finish_reason == "length":
            lines = lines[:-1]  # it was cut: 4 may have been 4.5
        outside = "\n".join(lines)
        numbers = {p.name: rating_of(outside, p.about, p.best) for p in self.parts if p.best is not None}
        return self._filled(text, finish_reason, texts, numbers, tags)

    def read_json(self, text: str, finish_reason: str | None) -> Filled:
        """Read a reply that was asked for in JSON: an object, alone or in a fence.

        A field that is there twice is missing: nothing says which one is meant.
        """
        values = _object(text, finish_reason == "length") if _is_text(text) else {}
        texts, numbers = dict[str, str](), dict[str, float | None]()
        for part in self.parts:
            value = values.get(part.name)
            if part.best is not None:
                numbers[part.name] = _number(value, part)
            elif isinstance(value, str) and _is_text(value):
                texts[part.name] = value if part.choices else value.strip()
        return self._filled(text, finish_reason, texts, numbers, None)

    def _filled(
        self,
        said: str,
        finish_reason: str | None,
        texts: Mapping[str, str],
        numbers: Mapping[str, float | None],
        tags: Mapping[str, str] | None,
    ) -> Filled:
        """Say how it ended, and why where it isn't whole."""
        good = {part.name: texts[part.name] for part in self.parts if part.holds(texts.get(part.name, ""))}
        known = {name: number for name, number in numbers.items() if number is not None}
        needed = [part for part in self.parts if not part.optional]
        missing = [part for part in needed if part.name not in good and part.name not in known]
        declined = [DECLINES.match(text) is not None for text in good.values()]
        if finish_reason in DECLINED:
            return Filled("refused", {}, {}, DECLINED[finish_reason], said)
        if tags is None and not known and declined and all(declined):  # a schema leaves no other place to decline in
            return Filled("refused", {}, {}, _start(next(iter(good.values()))), said)
        if not _is_text(said):
            return Filled("unparsed", {}, {}, "half of a surrogate pair is in the reply, which no file can hold", said)
        if not missing and (self.parts or finish_reason != "length"):
            return Filled("ok", good, known, "", said)
        why = " and ".join(_absence(part, tags, said) for part in missing) or "the reply was cut off"
        if finish_reason == "length":
            return Filled("truncated", good, known, why, said)
        if len(missing) < len(needed):
            return Filled("partial", good, known, why, said)
        if DECLINES.match(said):
            return Filled("refused", good, known, _start(said), said)
        return Filled("unparsed", good, known, why, said)


class Asked(NamedTuple):
    """A question written out one way: its prompt, and the schema that goes with it (None: none does)."""

    form: Form
    prompt: str
    schema: dict[str, Any] | None
    tags: Mapping[str, str]

    def read(self, text: str, finish_reason: str | None) -> Filled:
        """Read the reply to it."""
        if self.schema is not None:
            return self.form.read_json(text, finish_reason)
        return self.form.read_tags(text, finish_reason, self.tags)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of an oracle, before it is known how replies are asked for.

    Attributes:
        form: what the reply must hold.
        render: puts the form's instructions into the prompt.
        shown: the texts in the prompt that tags mustn't collide with.
        expected: tokens of a usual reply.
    """

    form: Form
    render: Callable[[str], str]
    shown: tuple[str, ...] = ()
    expected: int = 0

    @classmethod
    def plain(cls, prompt: str, expected: int = 0) -> Question:
        """Ask a prompt whose reply is text as it stands, `Filled.said`."""
        return cls(Form("text", ()), lambda form: prompt, (), expected)

    def asked(self, way: Way) -> Asked:
        """Write it out; raises `SettingsError` where the prompt can't be filled in."""
        if not self.form.parts:
            return Asked(self.form, self.render(""), None, {})
        if way == "json":
            return Asked(self.form, self.render(self.form.as_json()), self.form.schema(), {})
        tags = self.form.tags(*self.shown)
        return Asked(self.form, self.render(self.form.as_tags(tags)), None, tags)


def _is_text(text: str) -> bool:
    """Tell text from what no file can hold: half of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text) if not text.isascii() else True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's fields; one that is there twice is None: which one is meant?"""
    found: dict[str, Any] = {}
    for name, value in pairs:
        found[name] = None if name in found else value
    return found


def _object(text: str, was_cut: bool) -> Mapping[str, Any]:
    """Return the fields of the object that a reply is, alone or in a fence; none where it is none."""
    text = text.strip()
    fenced = FENCED.fullmatch(text)
    try:
        value = json.loads(fenced[1] if fenced else text, object_pairs_hook=_once, strict=False)
    except (ValueError, RecursionError):
        return _begun(text) if was_cut else {}
    return value if isinstance(value, dict) else {}


def _begun(text: str) -> Mapping[str, Any]:
    """Return the fields of an object that was cut off, as far as a comma says that they are whole."""
    decoder = json.JSONDecoder(object_pairs_hook=_once, strict=False)
    found: list[tuple[str, Any]] = []
    start = BEGUN.match(text)
    while start is not None and (name := NAME.match(text, start.end())) is not None:
        try:
            value, end = decoder.raw_decode(text, name.end())
        except (ValueError, RecursionError):
            break
        start = COMMA.match(text, end)
        if start is not None:
            found.append((name[1], value))
    return _once(found)


def _number(value: Any, part: Part) -> float | None:
    """Return a number, or one that is written as text, where it is on the scale."""
    assert part.best is not None
    if isinstance(value, str):
        return rating_of(value, part.about, part.best)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= part.best else None


def _scale(best: float) -> str:
    return f" from 0 to {best:g}" if isfinite(best) else ""


def _absence(part: Part, tags: Mapping[str, str] | None, said: str) -> str:
    if part.best is not None:
        return f"no one {part.name}{_scale(part.best)} in {_start(said)}"
    if tags is None:
        return f"no {'choice' if part.choices else 'text'} under {part.name} in the reply's JSON"
    return f"no whole section <{tags[part.name]}> in the reply"


def _start(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= 80 else flat[:79] + "…")
