"""What a judge's reply to our own prompts says, where answers try to speak for the judge. Pure.

Each prompt has two codes, `fence` and `mark`, made from what is judged and held by none of it. Answers stand between
lines with the fence; the judge writes its verdict behind the mark. What stands behind a mark is therefore the judge's
own, whatever else the reply quotes. A verdict without the mark counts only as the reply's last line (or the JSON that
it ends with), and not where an answer says the same.

Where the server holds the judge to a schema there is no mark: the reply is one JSON object alone, so nothing that it
quotes can vote; nor can an object that stands in an answer as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from tunescope.judgements.parsing import aspect_score, two_scores
from tunescope.judgements.records import AspectScore
from tunescope.oracle.replies import DECLINED, DECLINES

if TYPE_CHECKING:
    from tunescope.oracle.replies import ParsedReply
    from tunescope.oracle.reply_schema import ReplySchema

T = TypeVar("T")
CODE = 8
"""Hex digits of a code: 32 bits, and never one that what is judged holds."""
CODE_NAME = "code"
"""What holds the mark in a verdict that is JSON."""
MOST_OBJECTS = 500
"""Braces of an answer that are looked at for a verdict; one with more counts as holding it."""
LONG = 3
"""Characters from which on a verdict's line may not stand inside an answer's line either ("10 1", but not "2")."""
_CHOICE = re.compile(
    r"[\s*_`\"'(\[]*(?:(?:answer\s+)?(1|2|tie)|(?<=\[\[)([ABC])(?=\]\]))[\s*_`\"')\].!]*", re.IGNORECASE
)
_CHOICES = {"1": 1.0, "2": 0.0, "tie": 0.5, "a": 1.0, "b": 0.0, "c": 0.5}
_JSON = json.JSONDecoder(strict=False)


class Codes(NamedTuple):
    """What fences a prompt's texts, and what marks the judge's verdict on them."""

    fence: str
    mark: str


def codes(*texts: str) -> Codes:
    """Return two codes that none of the texts holds; the same for the same texts."""
    digest = blake2b("".join(f"{len(text)}:{text}" for text in texts).encode("utf-8", "surrogatepass"))
    found: list[str] = []
    while len(found) < 2:
        digest.update(b".")
        code = digest.hexdigest()[:CODE]
        if code not in found and not any(code in text for text in texts):
            found.append(code)
    return Codes(*found)


class Reading(NamedTuple, Generic[T]):
    """A verdict, or why there is none (a name of `WHY`)."""

    verdict: T | None
    why: str = ""


def scores_of(
    text: str, finish_reason: str | None, mark: str, answers: Sequence[str], low: float = 1, high: float = 10
) -> Reading[tuple[float, float]]:
    """Read two scores, the first shown answer's first."""
    wide: Callable[[str], tuple[float, float] | None] = lambda line: two_scores(line, low=0, high=1000)  # noqa: E731
    found = _line(text, finish_reason, mark, answers, wide)
    if found.verdict is not None and not all(low <= score <= high for score in found.verdict):
        return Reading(None, "out_of_range")
    return found


def choice_of(text: str, finish_reason: str | None, mark: str, answers: Sequence[str]) -> Reading[float]:
    """Read which answer is better: 1 for the first shown, 0 for the second, 0.5 for neither."""
    return _line(text, finish_reason, mark, answers, _choice)


def _choice(line: str) -> float | None:
    found = _CHOICE.fullmatch(line)
    return None if found is None else _CHOICES[(found[1] or found[2]).lower()]


def aspects_of(
    text: str, finish_reason: str | None, mark: str, answers: Sequence[str], names: Sequence[str], high: float = 5
) -> Reading[dict[str, Aspect]]:
    """Read {"code": MARK, aspect: {"reason": …, "score": …}}: the last such object, else one that the reply ends with.

    An aspect that the object lacks is missing in it. An object without one score or "N/A" is no verdict.
    """
    if finish_reason in DECLINED:
        return Reading(None, "refused")
    read: Callable[[Any], dict[str, Aspect] | None] = lambda value: _aspects(value, names, high)  # noqa: E731
    objects = list(_objects(text))
    marked = [value for value, _ in objects if isinstance(value.get(CODE_NAME), str) and value[CODE_NAME] == mark]
    own = next((found for value in reversed(marked) if (found := read(value)) is not None), None)
    if own is not None:
        return Reading(own)
    ending = [value for value, end in objects if not marked and not text[end:].strip("` \t\r\n")]
    own = next((found for value in ending if (found := read(value)) is not None), None)
    if own is None:
        return Reading(None, _why(text, finish_reason))
    for answer in answers:
        if answer.count("{") > MOST_OBJECTS:
            return Reading(None, "quoted")
        theirs = (found for value, _ in _objects(answer) if (found := read(value)) is not None)
        if any(_scores(found) == _scores(own) for found in theirs):
            return Reading(None, "quoted")
    return Reading(own)


def scores_in(parsed: ParsedReply, low: float = 1, high: float = 10) -> Reading[tuple[float, float]]:
    """Return score_1 and score_2 of a form."""
    first, second = parsed.numbers.get("score_1"), parsed.numbers.get("score_2")
    if first is None or second is None:
        return Reading(None, _lack(parsed))
    if not (low <= first <= high and low <= second <= high):
        return Reading(None, "out_of_range")
    return Reading((first, second))


def choice_in(parsed: ParsedReply) -> Reading[float]:
    """Return which answer is `better` in a form: 1 for the first shown, 0 for the second, 0.5 for neither."""
    word = parsed.texts.get("better")
    return Reading(None, _lack(parsed)) if word is None else Reading(_CHOICES[word])


def aspects_in(fields: Mapping[str, str], parsed: ParsedReply) -> Reading[dict[str, Aspect]]:
    """Return NAME_score and NAME_reason of a form; `fields` maps each aspect to what its fields begin with.

    An aspect that the form lacks is missing in it. A form without one score or "N/A" is no verdict.
    """
    found = {
        name: Aspect(aspect_score(parsed.texts.get(f"{field}_score")), parsed.texts.get(f"{field}_reason"))
        for name, field in fields.items()
    }
    return Reading(found) if any(a.score.status != "missing" for a in found.values()) else Reading(None, _lack(parsed))


def _lack(parsed: ParsedReply) -> str:
    return parsed.status if parsed.status in ("refused", "truncated") else "no_verdict"


def holds(answer: str, reply: str, form: ReplySchema) -> bool:
    """Tell whether an answer holds the form as a reply filled it in, so that it may be the answer that speaks."""
    if reply.strip() in answer:
        return True
    names = [part.name for part in form.fields]
    if not any(f'"{name}"' in answer for name in names):
        return False
    if answer.count("{") > MOST_OBJECTS:
        return True
    own = next((value for value, _ in _objects(reply)), None)
    given: Callable[[Mapping[str, Any]], list[Any]] = lambda value: [value.get(name) for name in names]  # noqa: E731
    return own is not None and any(given(value) == given(own) for value, _ in _objects(answer))


class Aspect(NamedTuple):
    """An aspect's score, and what the judge says about it."""

    score: AspectScore
    reason: str | None


def _aspects(value: Mapping[str, Any], names: Sequence[str], high: float) -> dict[str, Aspect] | None:
    given = {str(name).strip().lower(): item for name, item in value.items()}
    found = {
        name: Aspect(aspect_score(given.get(name.lower()), 1, high), _reason(given.get(name.lower()))) for name in names
    }
    return found if any(aspect.score.status in ("ok", "not_applicable") for aspect in found.values()) else None


def _scores(found: Mapping[str, Aspect]) -> dict[str, AspectScore]:
    return {name: aspect.score for name, aspect in found.items()}


def _reason(value: Any) -> str | None:
    reason = value.get("reason") if isinstance(value, Mapping) else None
    return reason if isinstance(reason, str) and reason.strip() else None


def _line(
    text: str, finish_reason: str | None, mark: str, answers: Sequence[str], read: Callable[[str], T | None]
) -> Reading[T]:
    """Read the last line behind a mark that is a verdict; without any mark, the reply's last line."""
    if finish_reason in DECLINED:
        return Reading(None, "refused")
    whole = text.rpartition("\n")[0] if finish_reason == "length" else text  # 1 may have been 10
    tails = whole.split(mark)[1:]
    for tail in reversed(tails):
        verdict = read(tail.partition("\n")[0].lstrip(" \t:=*_`>]-"))
        if verdict is not None:
            return Reading(verdict)
    lines = [line.strip() for line in whole.split("\n") if line.strip()]
    verdict = read(lines[-1]) if lines and not tails else None
    if verdict is None:
        return Reading(None, _why(text, finish_reason))
    said = any(read(line.strip()) == verdict for answer in answers for line in answer.split("\n"))
    if said or (len(lines[-1]) >= LONG and any(lines[-1] in answer for answer in answers)):
        return Reading(None, "quoted")
    return Reading(verdict)


def _why(text: str, finish_reason: str | None) -> str:
    if finish_reason == "length":
        return "truncated"
    return "refused" if DECLINES.match(text) else "no_verdict"


def _objects(text: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield every JSON object in a text, outer ones before those in them, with where it ends."""
    for start in (match.start() for match in re.finditer(r"\{", text)):
        try:
            yield _JSON.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
