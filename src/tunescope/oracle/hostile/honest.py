"""What an honest server answers, whichever verb asks: the reply's form filled in, the same each time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from zlib import crc32

_FORM = "Use exactly this form, each tag on a line of its own:\n"
_TAG = re.compile(r"<(\w+)>\n.*\n</\1>")
_NUMBER = re.compile(r"^(\w+): NUMBER$", re.MULTILINE)
_VERDICT = re.compile(r"^([0-9a-f]{8}): (SCORE-1 SCORE-2|CHOICE)$", re.MULTILINE)
_OBJECT = re.compile(r'^\{"code": .*SCORE\}.*\}$', re.MULTILINE)
_WORDS = ("river", "harbour", "orchard", "lantern", "quarry", "meadow", "chapel", "viaduct")


def honest_text(body: Mapping[str, Any]) -> str:
    """Return the text of the reply to a call's body."""
    prompt = _prompt(body)
    response_format = body.get("response_format")
    if response_format is not None:
        properties = response_format["json_schema"]["schema"]["properties"]
        return json.dumps({name: _value(name, each, prompt) for name, each in properties.items()})
    if verdicts := _VERDICT.findall(prompt):
        marker, form = verdicts[-1]
        return f"Each of them has its merits.\n{marker}: {'7 5' if form.startswith('SCORE') else '1'}"
    if objects := _OBJECT.findall(prompt):
        return str(objects[-1]).replace('"..."', '"It is fair."').replace("SCORE", "4")
    form = prompt.rpartition(_FORM)[2] if _FORM in prompt else ""
    form = _NUMBER.sub(lambda found: f"{found[1]}: 4", form)
    form = _TAG.sub(lambda found: f"<{found[1]}>\n{_text(found[1], prompt)}\n</{found[1]}>", form)
    return form.strip() or _text("answer", prompt)


def _prompt(body: Mapping[str, Any]) -> str:
    """Return the last message's text."""
    return str(body["messages"][-1]["content"])


def _value(name: str, field: Mapping[str, Any], prompt: str) -> Any:
    """Return a value for a field of a schema."""
    if "enum" in field:
        return "4" if "4" in field["enum"] else field["enum"][0]
    return 4 if field["type"] == "number" else _text(name, prompt)


def _text(name: str, prompt: str) -> str:
    """Return a text for a section, by what its name says."""
    number = crc32(prompt.encode("utf-8", "replace"))
    first, second = _WORDS[number % 8], _WORDS[number // 8 % 8]
    if name.startswith("verdict"):
        return "not equal"
    if "reason" in name or "reflection" in name:
        return "It is fair."
    if "instruction" in name:
        return f"Describe the {first} at dusk ({number % 9973}), and how old it is."
    return f"Beside the {first} stands a {second}; both are {number % 997} years old."
