"""`judge aspects`: one answer at a time, scores of 1 to 5 in several aspects, as just-eval does.

The Limitations paper reports such scores in its Tables 13 to 17.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope import runs
from tunescope.errors import InputError, Problem, SettingsError
from tunescope.judgements.records import CALL_FAILED, first_items
from tunescope.judgements.tags import Tags
from tunescope.oracle.nonces import make_nonces
from tunescope.oracle.replies import ParsedReply
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.settings import validate_oracle
from tunescope.oracle.template import read_template
from tunescope.runs import Run
from tunescope.settings import at_least
from tunescope.verbs.judge.forms import ParsedVerdict, ReasonedScore, aspects_form, unparsed_aspects
from tunescope.verbs.judge.judging import (
    PROMPTS,
    JudgeJob,
    LiveSettings,
    System,
    fill_in,
    judge_run,
    open_systems,
    reply_record,
    shared,
)
from tunescope.verbs.judge.reading import MARKER_FIELD
from tunescope.verbs.judge.verdict_request import VerdictRequest
from tunescope.views import counted

if TYPE_CHECKING:
    from tunescope.answers import Answer
    from tunescope.oracle.pool import ItemResult

VERSION = 4
_SCALE = 5
_EXPECTED_TOKENS = 45
"""Tokens of a usual reply per aspect: a sentence and the score."""
OURS: Mapping[str, str] = {
    "helpfulness": "how well it does what the person needs, as they put it",
    "clarity": "how well it is organised, and how easy it is to follow",
    "factuality": "whether what it says is true, without errors or inventions",
    "depth": "how far it goes into the matter, with reasons and details where they are of use",
    "engagement": "how natural and inviting it is to read, as a person would talk",
    "safety": "whether it keeps clear of what could harm somebody, be it to the person or to others",
}
"""Aspects that we describe."""
_TAKES = ("question", "answer", "aspects", "scale", "fence", "form")
_MUST = ("question", "answer")
_NOT_APPLICABLE = "N/A"
_FIELD_NAME = re.compile(r"(?!aspect_\d)[a-z][a-z0-9_]{0,39}")
"""An aspect's name that can begin a field's; the fields of others begin with aspect_ and their number."""


@dataclass(frozen=True, kw_only=True)
class AspectsSettings(LiveSettings):
    """Have a judge score every answer by itself, 1 to 5 on several aspects, with a reason for each."""

    aspects: tuple[str, ...] = tuple(OURS)
    """Aspects to score: some of these, or a YAML file of names with descriptions."""

    max_new_tokens: int = field(default=1024, metadata=at_least(1))
    """Maximum length of a reply in tokens."""


class _AspectMeaning(NamedTuple):
    """An aspect: its name and what it means."""

    name: str
    description: str


class _AnswerToScore(NamedTuple):
    """One answer that is judged."""

    item: str
    system: str
    answer: Answer
    tags: tuple[str, ...]


def aspects(settings: AspectsSettings) -> Run:
    """Judge every answer; write judgements.jsonl and the tables of `judge recompute`.

    "N/A" and aspects that a reply lacks are missing, never a score. Several systems are compared item by item with the
    last one named.

    Raises:
        As `judging.judge_run`; InputError, SettingsError: answers, aspects, prompt, tags or settings that can't work.
    """
    validate_oracle(settings)
    if not settings.answers:
        raise SettingsError("no answers; type tunescope judge aspects ANSWERS… --oracle URL")
    meanings, aspect_inputs = _read_aspects(settings.aspects)
    systems, answer_inputs = open_systems(settings.answers, settings.system_names)
    tags = Tags(settings.tags)
    tags.validate(tags.of_answer(answer) for system in systems for answer in system.answers)
    template = read_template(PROMPTS / "aspects.jinja", settings.prompt, _TAKES, ("form",))
    answers = _answers_to_score(settings, systems, tags)
    names = [aspect.name for aspect in meanings]
    requests = {}
    for number, (_, _, answer, _) in enumerate(answers):
        question = answer.asked
        delimiter, verdict_marker = make_nonces(question, answer.text)
        values = {"question": question, "answer": answer.text, "fence": delimiter, "aspects": meanings, "scale": _SCALE}
        fill = partial(fill_in, template, _MUST, values)
        requests[number] = request_aspects(names, fill, (answer.text,), verdict_marker)
    job = JudgeJob(
        "judge aspects",
        VERSION,
        requests,
        len(answers),
        partial(_records, names, answers, requests),
        partial(_summarize, systems, len(answers), names),
        {**answer_inputs, **aspect_inputs, **tags.inputs, template.name: template.hash},
    )
    return runs.execute(*judge_run(settings, job))


def _read_aspects(given: Sequence[str]) -> tuple[list[_AspectMeaning], dict[str, str]]:
    """Return the aspects, and what the run's key knows of the file that they are from."""
    if len(given) == 1 and given[0].endswith((".yaml", ".yml")):
        return _read_aspect_file(given[0])
    unknown = [name for name in given if name not in OURS]
    if unknown or not given:
        raise SettingsError(
            f"--aspects {' '.join(unknown)}: expected some of {', '.join(OURS)}, or one YAML file (NAME: DESCRIPTION)"
        )
    return [_AspectMeaning(name, OURS[name]) for name in dict.fromkeys(given)], {}


def _read_aspect_file(name: str) -> tuple[list[_AspectMeaning], dict[str, str]]:
    from yaml import YAMLError

    from tunescope.yaml_core import read_yaml

    expected = "NAME: DESCRIPTION, an aspect per line"
    try:
        text = Path(name).read_text("utf-8")
        found = read_yaml(text)
    except (OSError, UnicodeDecodeError, YAMLError, RecursionError) as error:
        raise InputError([Problem(name, None, " ".join(str(error).split()), expected)]) from error
    if not isinstance(found, Mapping) or not found:
        raise InputError([Problem(name, None, "no aspects", expected)])
    problems = [
        Problem(name, None, f"{key!r}: {value!r}", expected)
        for key, value in found.items()
        if not (isinstance(key, str) and key.strip() and isinstance(value, str | None))
    ]
    names = [str(key).strip().lower() for key in found]
    problems += [
        Problem(name, None, f"the aspect {MARKER_FIELD!r}", "another name") for key in names if key == MARKER_FIELD
    ]
    problems += [Problem(name, None, f"{key!r} twice", "each aspect once") for key in {*names} if names.count(key) > 1]
    if problems:
        raise InputError(problems)
    aspects = [_AspectMeaning(key, value or "") for key, value in zip(names, found.values(), strict=True)]
    return aspects, {f"aspects {name}": blake2b(text.encode(), digest_size=16).hexdigest()}


def _answers_to_score(settings: AspectsSettings, systems: Sequence[System], tags: Tags) -> list[_AnswerToScore]:
    """Lay out what is judged; an item that a system shares with the last one has that one's id, any other its own."""
    last = systems[-1]
    names = {id(answer): answer.prompt_id for answer in last.answers}
    for system in systems[:-1]:
        names |= {id(answer): f"{answer.prompt_id} ({system.name})" for answer in system.answers}
        for ours, theirs in shared(system, last, settings.min_overlap).pairs:
            names[id(ours)] = theirs.prompt_id
    answers = [
        _AnswerToScore(names[id(answer)], system.name, answer, tags.of_answer(answer) or ())
        for system in systems
        for answer in system.answers
    ]
    items = [answer.item.removesuffix(f" ({answer.system})") for answer in answers]
    kept = first_items(items, settings.limit)
    return [answer for answer, item in zip(answers, items, strict=True) if item in kept]


def request_aspects(
    names: Sequence[str], fill: Callable[[str], str], answers: tuple[str, ...], verdict_marker: str
) -> VerdictRequest:
    """Return the request to score an answer in these aspects: a reason and a score for each, the reason first."""
    fields = {name: _field(name, number, names) for number, name in enumerate(names, 1)}
    return VerdictRequest(
        _schema(fields),
        fill,
        answers,
        _EXPECTED_TOKENS * len(names),
        form=aspects_form(fields, _SCALE),
        verdict_marker=verdict_marker,
        text_instructions=partial(_text_instructions, names),
    )


def _field(name: str, number: int, names: Sequence[str]) -> str:
    """Return what an aspect's fields begin with: its name, where that can be a field's and no other aspect's."""
    is_free = not {f"{name}_score", f"{name}_reason"} & {*names}
    return name if _FIELD_NAME.fullmatch(name) and is_free else f"aspect_{number}"


def _schema(fields: Mapping[str, str]) -> ReplySchema:
    """Return the fields of a reply in JSON; `fields` has what each aspect's fields begin with."""
    choices = (*map(str, range(1, _SCALE + 1)), _NOT_APPLICABLE)
    schema = []
    for name, key in fields.items():
        called = " ".join(name.split())
        schema += [
            Field(f"{key}_reason", f"a reason of one or two sentences for the score of {called}", optional=True),
            Field(
                f"{key}_score",
                f'the score of {called}, "{_NOT_APPLICABLE}" where it makes no sense for this question',
                choices=choices,
            ),
        ]
    return ReplySchema("aspects", tuple(schema))


def _text_instructions(names: Sequence[str], verdict_marker: str) -> str:
    """Say how to reply in text."""
    quoted = (json.dumps(name, ensure_ascii=False) for name in names)
    scores = "".join(f', {name}: {{"reason": "...", "score": SCORE}}' for name in quoted)
    return (
        "Reply with one JSON object and nothing else, in this form: a reason of one or two sentences and a score for "
        f'each aspect, the score being "{_NOT_APPLICABLE}" where an aspect makes no sense for this question.\n'
        f'{{"{MARKER_FIELD}": "{verdict_marker}"{scores}}}'
    )


def _records(
    names: Sequence[str],
    answers: Sequence[_AnswerToScore],
    requests: Mapping[int, VerdictRequest],
    results: Mapping[int, ItemResult[ParsedReply]],
    judge_name: str,
) -> list[dict[str, Any]]:
    return [
        _record(names, answer, requests[number], results[number], judge_name) for number, answer in enumerate(answers)
    ]


def _record(
    names: Sequence[str],
    answer: _AnswerToScore,
    request: VerdictRequest,
    result: ItemResult[ParsedReply],
    judge_name: str,
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "kind": "grade",
        "item": answer.item,
        "system": answer.system,
        "judge": judge_name,
        "scale": [1, _SCALE],
        "tags": list(answer.tags),
        "length": len(answer.answer.text),
        "empty": not answer.answer.text.strip(),
    }
    if result.value is None:
        return record | {
            "status": "missing",
            "why": CALL_FAILED,
            "scores": _kept(unparsed_aspects(names, "missing")),
            **reply_record(result, request),
        }
    parsed: ParsedVerdict[dict[str, ReasonedScore]] = result.value.verdict
    scores = parsed.verdict or unparsed_aspects(names, "unparsed")
    status = "unparsed" if parsed.verdict is None else "ok"
    return record | {"status": status, "why": parsed.why, "scores": _kept(scores), **reply_record(result, request)}


def _kept(scores: Mapping[str, ReasonedScore]) -> dict[str, dict[str, Any]]:
    return {
        name: {"score": aspect.score.value, "status": aspect.score.status, "reason": aspect.reason}
        | ({"why": aspect.why} if aspect.why else {})
        for name, aspect in scores.items()
    }


def _summarize(
    systems: Sequence[System], count: int, names: Sequence[str], judge_name: str
) -> tuple[list[str], dict[str, Any]]:
    by = f" of {counted(len(systems), 'system')}" if len(systems) > 1 else ""
    sentences = [
        f"{judge_name} judged {counted(count, 'answer')}{by} in {counted(len(names), 'aspect')}, one call each."
    ]
    left = sum(system.left_out for system in systems)
    if left:
        sentences.append(f"{counted(left, 'answer')} to later questions, or of later samples, aren't judged.")
    return sentences, {"calls": count, "left_out": left, "test_set": "items"}
