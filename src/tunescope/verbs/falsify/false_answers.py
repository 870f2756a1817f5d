"""The false answer of each item: another option, or the code of another item.

Which one is drawn with a seed of the item's own, so that it depends on nothing but the seed, the item's key and, for
code, the source's other items. With `match_length` it is the one nearest to the right answer in words: among all wrong
options, or among the first `_MATCHED_AMONG` codes of the draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import TypeAlias

from tunescope.sandbox.pool import Program, Ran
from tunescope.text.words import words
from tunescope.verbs.falsify.items import PlacedItem, normalize, wrong_options
from tunescope.verbs.falsify.leaks import AnswerOption
from tunescope.verbs.falsify.source import letter_of

RunPrograms: TypeAlias = Callable[[Sequence[Program]], Sequence[Ran]]
_MATCHED_AMONG = 8
"""Codes among which one of like length is chosen."""
_MOST_RUN = 8
"""Codes that may be run for an item beyond those that are needed."""
_FAILING = ("failed", "ended early")
"""How a code ends that is no answer. One that ran out of time or memory may be one."""


@dataclass(frozen=True)
class FalseAnswer:
    """An item's right answer and its false one.

    Attributes:
        wrong: None where there is none; `reason` then says why.
        wrong_item: the key of the item whose code the false answer is; empty where it is an option.
    """

    right: AnswerOption
    wrong: AnswerOption | None
    reason: str = ""
    wrong_item: str = ""


def choose_false_answers(
    items: Sequence[PlacedItem], seed: int, match_length: bool, run: RunPrograms
) -> list[FalseAnswer]:
    """Return the answers of the items of one source, in order."""
    if any(placed.item.code for placed in items):
        return _choose_codes(items, seed, match_length, run)
    return [_choose_option(placed, seed, match_length) for placed in items]


def _draw(seed: int, key: str) -> Random:
    return Random(f"{seed}/falsify build/{key}")


def _choose_option(placed: PlacedItem, seed: int, match_length: bool) -> FalseAnswer:
    item = placed.item
    right = AnswerOption(letter_of(item.gold), item.options[item.gold])
    numbers = wrong_options(item)
    if not numbers:
        return FalseAnswer(right, None, "no wrong option: none differs from the right one in its words")
    _draw(seed, placed.key).shuffle(numbers)
    wrong = [AnswerOption(letter_of(number), item.options[number]) for number in numbers]
    return FalseAnswer(right, _nearest(wrong, right) if match_length else wrong[0])


def _nearest(answers: Sequence[AnswerOption], right: AnswerOption) -> AnswerOption:
    """Return the answer whose number of words is nearest to the right one's; the first of equals."""
    length = len(words(right.text))
    return min(answers, key=lambda answer: abs(len(words(answer.text)) - length))


def _choose_codes(items: Sequence[PlacedItem], seed: int, match_length: bool, run: RunPrograms) -> list[FalseAnswer]:
    needed = _MATCHED_AMONG if match_length else 1
    own = _run_tests(items, [placed.item.code for placed in items], run)
    candidates = [_other_items(items, number, seed, needed + _MOST_RUN) for number in range(len(items))]
    accepted: list[list[PlacedItem]] = [[] for _ in items]
    open_numbers = [number for number, ran in enumerate(own) if ran is None or ran.passed]
    while open_numbers:
        turns = [(number, other) for number in open_numbers if (other := next(candidates[number], None)) is not None]
        results = _run_tests([items[number] for number, _ in turns], [other.item.code for _, other in turns], run)
        for (number, other), ran in zip(turns, results, strict=True):
            if ran is None or ran.status in _FAILING:
                accepted[number].append(other)
        open_numbers = [number for number, _ in turns if len(accepted[number]) < needed]
    return [_code_answer(placed, ran, others) for placed, ran, others in zip(items, own, accepted, strict=True)]


def _code_answer(placed: PlacedItem, own: Ran | None, others: Sequence[PlacedItem]) -> FalseAnswer:
    right = AnswerOption("", placed.item.code)
    if own is not None and not own.passed:
        return FalseAnswer(right, None, f"its own code doesn't pass its tests: {own.status}")
    if not others:
        return FalseAnswer(right, None, "no false code: none of the other items' codes fails its tests")
    keys = {other.item.code: other.key for other in reversed(others)}
    wrong = _nearest([AnswerOption("", other.item.code) for other in others], right)
    return FalseAnswer(right, wrong, wrong_item=keys[wrong.text])


def _other_items(items: Sequence[PlacedItem], number: int, seed: int, most: int) -> Iterator[PlacedItem]:
    """Yield at most `most` items whose code may be false for an item.

    They are of another group, with another question and other code.
    """
    own = items[number].item
    order = list(range(len(items)))
    _draw(seed, items[number].key).shuffle(order)
    bare = own.code.split()
    others = (items[each] for each in order if items[each].item.group != own.group)
    others = (other for other in others if normalize(other.item.question) != normalize(own.question))
    return islice((other for other in others if other.item.code.split() != bare), most)


def _run_tests(items: Sequence[PlacedItem], codes: Sequence[str], run: RunPrograms) -> list[Ran | None]:
    """Run codes against the tests of items; None for an item without tests."""
    problems = [placed.item.problem for placed in items]
    programs = [problem.program(code) for problem, code in zip(problems, codes, strict=True) if problem is not None]
    results = iter(run(programs) if programs else ())
    return [None if problem is None else next(results) for problem in problems]
