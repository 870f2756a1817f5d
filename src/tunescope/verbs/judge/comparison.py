"""Two answers side by side: what `judge pairwise` and `judge winrate` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.errors import SettingsError
from tunescope.judgements.records import CALL_FAILED, Side, first_items
from tunescope.judgements.tags import Tags
from tunescope.oracle.template import PromptTemplate, read_template
from tunescope.runs import Run
from tunescope.verbs.judge.judging import (
    PROMPTS,
    Ballot,
    Heard,
    LiveSettings,
    Shared,
    Sheet,
    System,
    Work,
    fill_in,
    judge,
    open_systems,
    question_of,
    refuse,
    said,
    shared,
)
from tunescope.verbs.judge.reading import codes
from tunescope.views import counted

if TYPE_CHECKING:
    from tunescope.oracle.run import ItemResult

TAKES = ("question", "first", "second", "fence", "form")
EQUAL: Mapping[str, Any] = {"first": None, "status": "ok", "why": "", "preference": 0.5, "scores": None}
"""What stands for the orders of two equal answers, about which nobody is asked."""
MUST = ("question", "first", "second")


@dataclass(frozen=True, kw_only=True)
class ContestSettings(LiveSettings):
    """Answers that are held against a reference's."""

    control: bool = False
    """Also show each of the reference's answers beside a copy of itself: the judge's own noise."""


class Seen(NamedTuple):
    """A verdict on two answers as they were shown: 1 where the first is better, 0 where the second is."""

    preference: float
    scores: tuple[float, float] | None = None


class Contest(NamedTuple):
    """One of the two verbs.

    Attributes:
        name, version: of the verb.
        ours: its prompt.
        ballot: what the judge is asked to write.
        both: whether every item is asked in both orders, or in one that a seed decides.
    """

    name: str
    version: int
    ours: str
    ballot: Ballot
    both: bool


class Duel(NamedTuple):
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


def contest(settings: ContestSettings, kind: Contest, reference: str | None) -> Run:
    """Hold every system against the reference, item by item.

    Raises:
        As `live.judge`; InputError, SettingsError: answers, prompt, tags or settings that can't work.
    """
    refuse(settings)
    paths = list(settings.answers)
    if reference is not None and reference not in paths:
        paths.append(reference)
    if len(paths) < 2:
        raise SettingsError(
            f"{kind.name} needs the answers of two systems at least; found {', '.join(paths) or 'none'}"
        )
    systems, inputs = open_systems(paths, settings.system_names)
    against = next(system for system in systems if system.path == (reference or paths[-1]))
    others = [system for system in systems if system is not against]
    tags = Tags(settings.tags)
    tags.validate(tags.of_answer(answer) for answer in against.answers)
    template = read_template(PROMPTS / kind.ours, settings.prompt, TAKES, ("form",))
    overlaps = {system.name: shared(system, against, settings.min_overlap) for system in others}
    duels = _duels(settings, overlaps, against, tags)
    sheets = {
        (number, side): sheet_of(kind.ballot, template, duel, side)
        for number, duel in enumerate(duels)
        if duel.control or not duel.identical
        for side in _sides(settings, kind, duel)
    }
    work = Work(
        kind.name,
        kind.version,
        sheets,
        len(duels),
        partial(_records, settings, kind, duels, sheets),
        partial(_told, kind, systems, against, overlaps, duels, len(sheets)),
    )
    return judge(settings, work, {**inputs, "reference": against.name, **tags.inputs, template.name: template.hash})


def _duels(settings: ContestSettings, overlaps: Mapping[str, Shared], against: System, tags: Tags) -> list[Duel]:
    """Lay out what is judged: system by system, item by item; then the controls."""
    items = [theirs.prompt_id for found in overlaps.values() for _, theirs in found.pairs]
    kept = first_items(items, settings.limit)
    duels, judged = [], {}
    for name, found in overlaps.items():
        for ours, theirs in found.pairs:
            if theirs.prompt_id in kept:
                judged[theirs.prompt_id] = theirs
                texts = (ours.text, theirs.text)
                names = (name, against.name)
                duels.append(
                    Duel(theirs.prompt_id, names, question_of(theirs), texts, tags.of_answer(theirs) or (), False)
                )
    if settings.control:
        names = (against.name, against.name)
        for item, answer in judged.items():
            duels.append(
                Duel(item, names, question_of(answer), (answer.text, answer.text), tags.of_answer(answer) or (), True)
            )
    return duels


def _sides(settings: ContestSettings, kind: Contest, duel: Duel) -> tuple[Side, ...]:
    """Return who stands first, call by call; the two orders of a control would be the same call."""
    if duel.control:
        return ("a",)
    return ("a", "b") if kind.both else (seeded(settings.seed, duel.question),)


def seeded(seed: int, question: str) -> Side:
    """Draw who stands first by the question's text, so that no order of items and no other system changes it."""
    digest = blake2b(f"{seed}\n{question}".encode("utf-8", "surrogatepass"), digest_size=1).digest()
    return "a" if digest[0] & 1 else "b"


def sheet_of(ballot: Ballot, template: PromptTemplate, duel: Duel, side: Side) -> Sheet:
    """Lay out the prompt of one order; its codes are made of what it shows."""
    first, second = duel.texts if side == "a" else duel.texts[::-1]
    fence, mark = codes(duel.question, first, second)
    values = {"question": duel.question, "first": first, "second": second, "fence": fence}
    return Sheet(ballot, partial(fill_in, template, MUST, values), mark, (first, second))


def _records(
    settings: ContestSettings,
    kind: Contest,
    duels: Sequence[Duel],
    sheets: Mapping[tuple[int, Side], Sheet],
    asked: Mapping[tuple[int, Side], ItemResult[Heard]],
    judge_name: str,
) -> list[dict[str, Any]]:
    found = []
    for number, duel in enumerate(duels):
        equal = duel.identical and not duel.control
        sides = () if equal else _sides(settings, kind, duel)
        orders = [_order(side, sheets[number, side], asked[number, side]) for side in sides]
        found.append(
            {
                "kind": "pair",
                "item": duel.item,
                "system": duel.names[0],
                "reference": duel.names[1],
                "judge": judge_name,
                "tags": list(duel.tags),
                "lengths": [len(text) for text in duel.texts],
                "control": duel.control,
                "identical": equal,
                "empty": not all(text.strip() for text in duel.texts),
                "orders": orders or [dict(EQUAL)],
            }
        )
    return found


def _who(side: Side) -> str:
    return "system" if side == "a" else "reference"


def _order(side: Side, sheet: Sheet, came: ItemResult[Heard]) -> dict[str, Any]:
    start: dict[str, Any] = {"first": _who(side)}
    if came.value is None:
        return start | {
            "status": "missing",
            "why": CALL_FAILED,
            "preference": None,
            "scores": None,
            **said(came, sheet),
        }
    found = came.value.found
    ours = found.verdict
    preference = scores = None
    if ours is not None:
        preference = ours.preference if side == "a" else 1 - ours.preference
        scores = None if ours.scores is None else list(ours.scores if side == "a" else ours.scores[::-1])
    return start | {
        "status": "unparsed" if ours is None else "ok",
        "why": found.why,
        "preference": preference,
        "scores": scores,
        **said(came, sheet),
    }


def _told(
    kind: Contest,
    systems: Sequence[System],
    against: System,
    overlaps: Mapping[str, Shared],
    duels: Sequence[Duel],
    calls: int,
    judge_name: str,
) -> tuple[list[str], dict[str, Any]]:
    pairs = sum(not duel.control for duel in duels)
    orders = "both orders" if kind.both else "one order each, drawn by the question's text"
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
