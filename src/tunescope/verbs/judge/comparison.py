"""Two answers side by side: what `judge pairwise` and `judge winrate` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.errors import SettingsError
from tunescope.judgements.records import CALL_FAILED, Side, first_items
from tunescope.judgements.tags import Tags
from tunescope.oracle.nonces import make_nonces
from tunescope.oracle.replies import ParsedReply
from tunescope.oracle.settings import validate_oracle
from tunescope.oracle.template import PromptTemplate, read_template
from tunescope.runs import RunJob
from tunescope.verbs.judge.forms import ParsedVerdict
from tunescope.verbs.judge.judging import (
    PROMPTS,
    JudgeJob,
    LiveSettings,
    Shared,
    System,
    fill_in,
    judge_run,
    open_systems,
    reply_record,
    shared,
)
from tunescope.verbs.judge.verdict_request import VerdictRequest
from tunescope.views import counted

if TYPE_CHECKING:
    from tunescope.oracle.pool import ItemResult

_TAKES = ("question", "first", "second", "fence", "form")
_EQUAL: Mapping[str, Any] = {"first": None, "status": "ok", "why": "", "preference": 0.5, "scores": None}
"""What stands for the orders of two equal answers, about which nobody is asked."""
_MUST = ("question", "first", "second")


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings(LiveSettings):
    """Answers that are held against a reference's."""

    control: bool = False
    """Also show each of the reference's answers next to a copy of itself. This measures the judge's noise."""


class Preference(NamedTuple):
    """A verdict on two answers as they were shown: 1 where the first is better, 0 where the second is."""

    preference: float
    scores: tuple[float, float] | None = None


class PairwiseJudge(NamedTuple):
    """One of the two verbs.

    Attributes:
        name, version: of the verb.
        template: its prompt's file.
        request: makes the request from what fills in the prompt, the two answers and the verdict marker.
        both_orders: whether every item is asked in both orders, or in one that a seed decides.
    """

    name: str
    version: int
    template: str
    request: Callable[[Callable[[str], str], tuple[str, ...], str], VerdictRequest]
    both_orders: bool


class _Matchup(NamedTuple):
    """Two answers to one item; of a control, the reference's twice."""

    item: str
    names: tuple[str, str]
    question: str
    texts: tuple[str, str]
    tags: tuple[str, ...]
    control: bool

    @property
    def identical(self) -> bool:
        """Whether nobody needs to be asked which is better."""
        return self.texts[0] == self.texts[1]


def comparison_job(settings: ComparisonSettings, judge: PairwiseJudge, reference: str | None) -> RunJob:
    """Return the run that compares every system with the reference, item by item.

    Raises:
        As `judging.judge_run`; InputError, SettingsError: answers, prompt, tags or settings that can't work.
    """
    validate_oracle(settings)
    paths = list(settings.answers)
    if reference is not None and reference not in paths:
        paths.append(reference)
    if len(paths) < 2:
        raise SettingsError(
            f"{judge.name} needs the answers of two systems at least; found {', '.join(paths) or 'none'}"
        )
    systems, inputs = open_systems(paths, settings.system_names)
    against = next(system for system in systems if system.path == (reference or paths[-1]))
    others = [system for system in systems if system is not against]
    tags = Tags(settings.tags)
    tags.validate(tags.of_answer(answer) for answer in against.answers)
    template = read_template(PROMPTS / judge.template, settings.prompt, _TAKES, ("form",))
    overlaps = {system.name: shared(system, against, settings.min_overlap) for system in others}
    matchups = _matchups(settings, overlaps, against, tags)
    requests = {
        (number, side): _request_for(judge, template, matchup, side)
        for number, matchup in enumerate(matchups)
        if matchup.control or not matchup.identical
        for side in _sides(settings, judge, matchup)
    }
    job = JudgeJob(
        judge.name,
        judge.version,
        requests,
        len(matchups),
        partial(_records, settings, judge, matchups, requests),
        partial(_summarize, judge, systems, against, overlaps, matchups, len(requests)),
        {**inputs, "reference": against.name, **tags.inputs, template.name: template.hash},
    )
    return judge_run(settings, job)


def _matchups(
    settings: ComparisonSettings, overlaps: Mapping[str, Shared], against: System, tags: Tags
) -> list[_Matchup]:
    """Lay out what is judged: system by system, item by item; then the controls."""
    items = [theirs.prompt_id for found in overlaps.values() for _, theirs in found.pairs]
    kept = first_items(items, settings.limit)
    matchups, judged = [], {}
    for name, found in overlaps.items():
        for ours, theirs in found.pairs:
            if theirs.prompt_id in kept:
                judged[theirs.prompt_id] = theirs
                texts = (ours.text, theirs.text)
                names = (name, against.name)
                matchups.append(
                    _Matchup(theirs.prompt_id, names, theirs.asked, texts, tags.of_answer(theirs) or (), False)
                )
    if settings.control:
        names = (against.name, against.name)
        for item, answer in judged.items():
            matchups.append(
                _Matchup(item, names, answer.asked, (answer.text, answer.text), tags.of_answer(answer) or (), True)
            )
    return matchups


def _sides(settings: ComparisonSettings, judge: PairwiseJudge, matchup: _Matchup) -> tuple[Side, ...]:
    """Return who stands first, call by call; the two orders of a control would be the same call."""
    if matchup.control:
        return ("a",)
    return ("a", "b") if judge.both_orders else (seeded(settings.seed, matchup.question),)


def seeded(seed: int, question: str) -> Side:
    """Draw who stands first by the question's text, so that no order of items and no other system changes it."""
    digest = blake2b(f"{seed}\n{question}".encode("utf-8", "surrogatepass"), digest_size=1).digest()
    return "a" if digest[0] & 1 else "b"


def _request_for(judge: PairwiseJudge, template: PromptTemplate, matchup: _Matchup, side: Side) -> VerdictRequest:
    """Return the request of one order; its nonces are made of what the prompt shows."""
    first, second = matchup.texts if side == "a" else matchup.texts[::-1]
    delimiter, verdict_marker = make_nonces(matchup.question, first, second)
    values = {"question": matchup.question, "first": first, "second": second, "fence": delimiter}
    return judge.request(partial(fill_in, template, _MUST, values), (first, second), verdict_marker)


def _records(
    settings: ComparisonSettings,
    judge: PairwiseJudge,
    matchups: Sequence[_Matchup],
    requests: Mapping[tuple[int, Side], VerdictRequest],
    results: Mapping[tuple[int, Side], ItemResult[ParsedReply]],
    judge_name: str,
) -> list[dict[str, Any]]:
    records = []
    for number, matchup in enumerate(matchups):
        is_equal = matchup.identical and not matchup.control
        sides = () if is_equal else _sides(settings, judge, matchup)
        orders = [_order(side, requests[number, side], results[number, side]) for side in sides]
        records.append(
            {
                "kind": "pair",
                "item": matchup.item,
                "system": matchup.names[0],
                "reference": matchup.names[1],
                "judge": judge_name,
                "tags": list(matchup.tags),
                "lengths": [len(text) for text in matchup.texts],
                "control": matchup.control,
                "identical": is_equal,
                "empty": not all(text.strip() for text in matchup.texts),
                "orders": orders or [dict(_EQUAL)],
            }
        )
    return records


def _order(side: Side, request: VerdictRequest, result: ItemResult[ParsedReply]) -> dict[str, Any]:
    record: dict[str, Any] = {"first": "system" if side == "a" else "reference"}
    if result.value is None:
        record |= {"status": "missing", "why": CALL_FAILED, "preference": None, "scores": None}
        return record | reply_record(result, request)
    parsed: ParsedVerdict[Preference] = result.value.verdict
    verdict = parsed.verdict
    preference = scores = None
    if verdict is not None:
        preference = verdict.preference if side == "a" else 1 - verdict.preference
        scores = None if verdict.scores is None else list(verdict.scores if side == "a" else verdict.scores[::-1])
    return record | {
        "status": "unparsed" if verdict is None else "ok",
        "why": parsed.why,
        "preference": preference,
        "scores": scores,
        **reply_record(result, request),
    }


def _summarize(
    judge: PairwiseJudge,
    systems: Sequence[System],
    against: System,
    overlaps: Mapping[str, Shared],
    matchups: Sequence[_Matchup],
    calls: int,
    judge_name: str,
) -> tuple[list[str], dict[str, Any]]:
    pairs = sum(not matchup.control for matchup in matchups)
    orders = "both orders" if judge.both_orders else "one order each, drawn by the question's text"
    sentences = [f"{judge_name} judged {counted(pairs, 'pair')} of answers in {orders}: {counted(calls, 'call')}."]
    sentences += [
        f"{name} and {against.name} share {counted(len(found.pairs), 'item')}; {found.only_a:,} more of {name}'s and "
        f"{found.only_b:,} of {against.name}'s are left out."
        for name, found in overlaps.items()
        if found.only_a or found.only_b
    ]
    left = sum(system.left_out for system in systems)
    if left:
        sentences.append(f"{counted(left, 'answer')} to later questions, or of later samples, aren't judged.")
    more: dict[str, Any] = {"overlap": {name: found.as_json() for name, found in overlaps.items()}, "calls": calls}
    return sentences, more | {"left_out": left}
