"""What a verdict looks like: two scores, a choice, or scores in aspects; alike in JSON and in text. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from tunescope.judgements.parsing import aspect_score, score_pair, two_scores
from tunescope.judgements.records import AspectScore
from tunescope.oracle.folding import fold
from tunescope.oracle.grades import read_grade
from tunescope.oracle.json_objects import object_of

T = TypeVar("T")
S = TypeVar("S")
_LONGEST_LINE = 200
"""Characters of a line that may be a verdict."""
_NO_VERDICT = "no_verdict"


class ParsedVerdict(NamedTuple, Generic[T]):
    """A verdict, or why there is none (a name of `judgements.records.UNPARSED_REASONS`)."""

    verdict: T | None
    why: str = ""


class VerdictForm(NamedTuple, Generic[T]):
    """How one kind of verdict is read.

    Attributes:
        of_line: reads a line that is nothing but a verdict.
        of_object: reads the fields of a JSON object.
        names: finds a name that an object has to have, in the object's text.
        is_within: tells whether a verdict occurs in a text, as a line or in the midst of one; objects aside.
        essence: what of a verdict has to be equal for two to be the same.
    """

    of_line: Callable[[str], ParsedVerdict[T]]
    of_object: Callable[[Mapping[str, Any]], ParsedVerdict[T]]
    names: re.Pattern[str]
    is_within: Callable[[str, T], bool]
    essence: Callable[[T], Any]

    def into(self, make: Callable[[T], S], back: Callable[[S], T]) -> VerdictForm[S]:
        """Return the form of what is made of such verdicts, where `back` gives the verdict again."""

        def made(parsed: ParsedVerdict[T]) -> ParsedVerdict[S]:
            return ParsedVerdict(None if parsed.verdict is None else make(parsed.verdict), parsed.why)

        return VerdictForm(
            lambda line: made(self.of_line(line)),
            lambda fields: made(self.of_object(fields)),
            self.names,
            lambda text, own: self.is_within(text, back(own)),
            lambda own: self.essence(back(own)),
        )


def _plain(line: str) -> str:
    return " ".join(fold(line).split()) if len(line) <= _LONGEST_LINE else ""


def _object_in(line: str) -> Mapping[str, Any]:
    """Return the fields of the object that a line ends with."""
    return object_of(line[line.index("{") :])[0] if "{" in line else {}


# Two scores

_NUMBER = r"[0-9]{1,4}(?:\.[0-9]+)?"
_BETWEEN = r"(?:\s*[,;|]\s*|\s+and\s+|\s+)"
_OF_BEST = rf"\s*(?:/|out\s+of)\s*({_NUMBER})"
_BOTH_OF_BEST = re.compile(rf"\W*({_NUMBER}){_OF_BEST}{_BETWEEN}({_NUMBER}){_OF_BEST}\W*", re.IGNORECASE)
_COMMA = r"[0-9]{1,4},[0-9]{1,2}"
_WITH_COMMAS = re.compile(
    rf"[^\w.-]*(?:({_COMMA})(?:\s*[;|/]\s*|\s+and\s+|\s+)({_COMMA}|{_NUMBER})|({_NUMBER})(?:\s*[;|/]\s*|\s+and\s+|\s+)({_COMMA}))\W*",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"\b(?:score|answer|assistant|response|model)[\s#_-]*([12])[\s*_`\"']*[:=]", re.IGNORECASE)
"""A word before a score that says whose it is; a pair has the first's and then the second's, or none."""
_SAID_NUMBER = re.compile(r"(?<![^\W_])(?<!\.)-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?", re.IGNORECASE)
_SAID_BETWEEN = re.compile(r"(?:[^\w.]|_)++|\W++(?:and|to|vs\.?|versus|against)\W++", re.IGNORECASE)
_OF_TEN = re.compile(r"(?<!\s)\s*+(?:/|out\s+of)\s*10\b(?:\.0)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9]{1,2}\b)")
_DIGIT = re.compile("[0-9]")
_ANY = 1e6
_SCORE_NAMES = re.compile(r"scores|(?:score|assistant|answer)[_ ]1|[\"']\s*(?:a|1)\s*[\"']", re.IGNORECASE)


def scores_form(low: float, high: float) -> VerdictForm[tuple[float, float]]:
    """Return the form of two scores from `low` to `high`, the first shown answer's first."""
    return VerdictForm(
        partial(_scores_of_line, low=low, high=high),
        partial(_scores_of_object, low=low, high=high),
        _SCORE_NAMES,
        _are_said,
        lambda scores: scores,
    )


def _scores_of_line(line: str, low: float, high: float) -> ParsedVerdict[tuple[float, float]]:
    line = _plain(line)
    fields = _object_in(line)
    if fields:
        return _scores_of_object(fields, low, high)
    labels = _LABELLED.findall(line)
    if labels == ["1", "2"]:
        line = _LABELLED.sub(" ", line)
    scores = two_scores(line, low=-_ANY, high=_ANY)
    if scores is None and (match := _BOTH_OF_BEST.fullmatch(line)) is not None:
        if not float(match[2]) == float(match[4]) == high:
            return ParsedVerdict(None, "other_scale")
        scores = float(match[1]), float(match[3])
    if scores is None and (match := _WITH_COMMAS.fullmatch(line)) is not None:
        first, second = (float(text.replace(",", ".")) for text in match.groups() if text)
        scores = first, second
    if scores is None:
        return ParsedVerdict(None, _NO_VERDICT)
    return (
        ParsedVerdict(scores) if all(low <= score <= high for score in scores) else ParsedVerdict(None, "out_of_range")
    )


def _scores_of_object(fields: Mapping[str, Any], low: float, high: float) -> ParsedVerdict[tuple[float, float]]:
    pair = score_pair(fields)
    if pair is None:
        return ParsedVerdict(None, _NO_VERDICT)
    first, second = (read_grade(value, low, high) for value in pair)
    if first.value is not None and second.value is not None:
        return ParsedVerdict((first.value, second.value))
    reasons = [grade.why for grade in (first, second) if grade.why]
    return ParsedVerdict(None, _NO_VERDICT if "none" in reasons else reasons[0])


def _are_said(text: str, scores: tuple[float, float]) -> bool:
    """Tell whether two numbers that follow each other are these scores, whatever separates them.

    It finds all that `_scores_of_line` reads in a line, objects aside.
    """
    if _DIGIT.search(text) is None:
        return False
    if _LABELLED.search(text) is not None and _are_said(_LABELLED.sub(" ", text), scores):
        return True
    of_ten = "10" in text and _follow(_OF_TEN.sub("", text), scores)
    return of_ten or any(_follow(view, scores) for view in {text, _DECIMAL_COMMA.sub(".", text)})


def _follow(text: str, scores: tuple[float, float]) -> bool:
    before: tuple[float, int] | None = None
    for match in _SAID_NUMBER.finditer(text):
        value = float(match.group())
        if (
            before is not None
            and (before[0], value) == scores
            and _SAID_BETWEEN.fullmatch(text, before[1], match.start())
        ):
            return True
        before = value, match.end()
    return False


# A choice

_NOUN = r"(?:answer|assistant|response|reply|model|option|candidate|system|output|choice)"
_LETTERS = {"a": 1.0, "b": 0.0, "c": 0.5}
_PLACES = {"1": 1.0, "first": 1.0, "a": 1.0, "2": 0.0, "second": 0.0, "b": 0.0}
_ONE = rf"(?:the\s+)?(?:{_NOUN}\s*[#(]?\s*(?P<NAMED>[12AB])\b\)?|(?P<PLACED>first|second)\s+(?:one|{_NOUN}))"
_SIDE, _OTHER = (
    _ONE.replace("NAMED", f"{name}_named").replace("PLACED", f"{name}_placed") for name in ("side", "other")
)
_FAR = r"(?:(?:clearly|much|slightly|somewhat|marginally|far|overall|the|a\s+bit)\s+)*"
_BETTER = (
    rf"\s+(?:(?:is|was|seems|seems\s+to\s+be)\s+{_FAR}(?:better|best|preferred|preferable|superior|stronger|winner)"
    rf"(?:\s+(?:one|{_NOUN}|overall))*(?:\s+than\s+(?:{_OTHER}|(?:the\s+)?(?P<other_bare>[12AB]|first|second)\b))?|wins)"
)
_BARE = r"(?:the\s+)?(?P<bare>[12AB]|first|second)\b"
_EVEN = (
    r"(?:it\s+is\s+|it's\s+)?(?:a\s+)?(?:tie|draw)|neither(?:\s+(?:one\s+)?is\s+better)?|no\s+(?:clear\s+)?(?:winner|preference)"
    rf"|(?:(?:both|they|both\s+{_NOUN}s|the\s+(?:two\s+)?{_NOUN}s)\s+)?(?:are\s+)?(?:about\s+|roughly\s+)?equally\s+"
    r"(?:good|bad|helpful|strong|weak)|(?:(?:they|both)\s+are\s+)?equal"
)
_LEAD = (
    r"(?:(?:so|thus|therefore|my|the|final|overall)[\s,]+)*(?:verdict|choice|winner|decision|judge?ment|preference|"
    r"(?:better|best)(?:\s+(?:one|answer|assistant|response))?)\s*(?:\bis\b\s*:?|:|=)[\s*_`]*"
)
_WRAP, _UNWRAP = r"[\s*_`\"'(\[]*+", r"[\s*_`\"')\].!]*+"
_CHOICE = re.compile(
    rf"{_WRAP}(?P<lead>{_LEAD})?{_WRAP}(?:(?P<number>[12])|(?(lead)(?P<led>[ABC])\b|(?!))|(?<=\[\[)(?P<letter>[ABC])(?=\]\])|(?:I\s+(?:prefer|choose)\s+)?{_SIDE}"
    rf"(?:{_BETTER})?|{_BARE}{_BETTER.replace('other_', 'rival_')}|(?P<even>{_EVEN})){_UNWRAP}",
    re.IGNORECASE,
)
"""A line that is a choice: 1, tie, [[A]], "Answer 1", "A is better", "both equally good"; one letter alone is none."""
_BRACKETS = str.maketrans("(){}<>", "[][][]")
_BRACKETED = re.compile(r"\[\s*\[\s*([ABC])\s*\]\s*\]", re.IGNORECASE)
_DECORATION = " \t\r>#|+-*"
_QUOTED = {
    '"': re.compile(r'"([^"\n]{1,60})"'),
    "`": re.compile(r"`([^`\n]{1,60})`"),
    "'": re.compile(r"(?<!\w)'([^'\n]{1,60})'(?!\w)"),
}
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")
_BEGINS = re.compile(
    rf"\W*(?:so|thus|therefore|my|the|final|overall|verdict|choice|winner|decision|judge?ment|preference|better|best|I|{_NOUN}"
    r"|first|second|[12ab]|it|it's|tie|draw|neither|no|both|they|are|about|roughly|equally|equal)\b",
    re.IGNORECASE,
)
"""How a sentence begins that can be a choice."""
_CHOICE_NAMES = ("better", "winner", "choice", "verdict", "preference")


def _choice_of_line(line: str) -> ParsedVerdict[float]:
    match = _CHOICE.fullmatch(_plain(line))
    if match is None:
        fields = _object_in(line) if len(line) <= _LONGEST_LINE else {}
        return _choice_of_object(fields)
    if match["even"]:
        return ParsedVerdict(0.5)
    if letter := match["letter"] or match["led"]:
        return ParsedVerdict(_LETTERS[letter.lower()])
    groups = match.groupdict()
    side, other = (
        _PLACES[found.lower()] if (found := next(filter(None, map(groups.get, names)), None)) else None
        for names in (
            ("number", "side_named", "side_placed", "bare"),
            ("other_named", "other_placed", "other_bare", "rival_named", "rival_placed", "rival_bare"),
        )
    )
    return ParsedVerdict(None, _NO_VERDICT) if side is None or side == other else ParsedVerdict(side)


def _choice_of_object(fields: Mapping[str, Any]) -> ParsedVerdict[float]:
    given = next((fields[name] for name in _CHOICE_NAMES if name in fields), None)
    if isinstance(given, int | float) and not isinstance(given, bool) and given in (1, 2):
        given = f"{given:g}"
    return _choice_of_line(given) if isinstance(given, str) and "{" not in given else ParsedVerdict(None, _NO_VERDICT)


def _is_choice_said(text: str, choice: float) -> bool:
    """Tell whether a letter in double brackets of any kind, a line, a sentence or a quoted piece is this choice."""
    letters = _BRACKETED.finditer(text.translate(_BRACKETS)) if "a" in text.lower() or "b" in text.lower() else ()
    if any(_LETTERS[match[1].lower()] == choice for match in letters):
        return True
    return any(_choice_of_line(piece).verdict == choice for piece in dict.fromkeys(_pieces(text)))


def _pieces(text: str) -> Iterator[str]:
    """Yield what may be a choice of its own: lines, sentences that are more than a number, and what is quoted."""
    for line in text.split("\n"):
        for part in (line, *line.splitlines()) if len(line) <= _LONGEST_LINE else ():
            yield part.strip(_DECORATION)
        for sentence in _SENTENCE_END.split(line):
            if len(sentence) <= _LONGEST_LINE and _BEGINS.match(sentence) and not sentence.strip(" .").isdigit():
                yield sentence.strip(_DECORATION)
    for mark, quoted in _QUOTED.items():
        if mark in text:
            yield from (match[1] for match in quoted.finditer(text))


CHOICE: VerdictForm[float] = VerdictForm(
    _choice_of_line, _choice_of_object, re.compile("|".join(_CHOICE_NAMES)), _is_choice_said, lambda choice: choice
)
"""Which answer is better: 1 for the first shown, 0 for the second, 0.5 for neither."""


# Scores in aspects


class ReasonedScore(NamedTuple):
    """An aspect's score, what the judge says about it, and why there is none (a name of `UNPARSED_REASONS`)."""

    score: AspectScore
    reason: str | None
    why: str = ""


def aspects_form(fields: Mapping[str, str], high: float) -> VerdictForm[dict[str, ReasonedScore]]:
    """Return the form of scores from 1 to `high` in aspects; `fields` maps each to what its fields begin with.

    An object has {aspect: {"reason": …, "score": …}}, or FIELD_reason and FIELD_score. An aspect that it lacks is
    missing in it. An object without one score or "N/A" is no verdict.
    """
    of_object = partial(_aspects_of_object, fields=fields, high=high)
    return VerdictForm(
        lambda line: of_object(_object_in(_plain(line))),
        of_object,
        re.compile("|".join(re.escape(name) for name in {*fields, *fields.values()}), re.IGNORECASE),
        lambda text, own: False,
        lambda own: {name: aspect.score for name, aspect in own.items()},
    )


def _aspects_of_object(
    given: Mapping[str, Any], fields: Mapping[str, str], high: float
) -> ParsedVerdict[dict[str, ReasonedScore]]:
    named = {str(name).strip().lower(): item for name, item in given.items()}
    scores = {}
    for name, field in fields.items():
        item = named.get(name.lower())
        if item is None:
            item = {"score": named.get(f"{field}_score"), "reason": named.get(f"{field}_reason")}
        scores[name] = _aspect(item, name, high)
    if any(aspect.score.status in ("ok", "not_applicable") for aspect in scores.values()):
        return ParsedVerdict(scores)
    reasons = [aspect.why for aspect in scores.values() if aspect.why not in ("", _NO_VERDICT)]
    return ParsedVerdict(None, reasons[0] if reasons else _NO_VERDICT)


def _aspect(item: Any, name: str, high: float) -> ReasonedScore:
    given = item.get("reason") if isinstance(item, Mapping) else None
    reason = given if isinstance(given, str) and given.strip() else None
    score = aspect_score(item, 1, high)
    if score.status != "unparsed":
        return ReasonedScore(score, reason)
    grade = read_grade(item.get("score") if isinstance(item, Mapping) else item, 1, high, name)
    if grade.value is not None:
        return ReasonedScore(AspectScore(grade.value, "ok"), reason)
    return ReasonedScore(score, reason, _NO_VERDICT if grade.why == "none" else grade.why)


def unparsed_aspects(names: Sequence[str], status: Any) -> dict[str, ReasonedScore]:
    """Return aspects without scores."""
    return dict.fromkeys(names, ReasonedScore(AspectScore(None, status), None))
