"""Reasoning chains from an oracle: why the right answer is right, and why the false one would be (FACO paper, 2.2).

The true chain is asked for once, with the question, its options, the right answer and the source's explanation. Where
the oracle disagrees it writes *WRONG ANSWER*, and the item is left out. The false chain is asked for with the question,
its options and one wrong answer. While it names the right answer (`leaks`), or can't be read, it is asked for again
with another seed, at most `--tries` times. With `match_length` it is asked for `--tries` times in any case, and the one
nearest to the true chain in words is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tunescope.oracle.nonces import make_nonces
from tunescope.oracle.replies import ParsedReply, Status
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.template import PromptTemplate, read_template
from tunescope.text.words import words
from tunescope.verbs.falsify.false_answers import FalseAnswer
from tunescope.verbs.falsify.items import PlacedItem
from tunescope.verbs.falsify.leaks import AnswerOption, Leak, LeakFinder, states_answer

if TYPE_CHECKING:
    from tunescope.oracle.calls import Calls

PROMPTS = Path(__file__).with_name("prompts")
_EXPLANATION = "explanation"
_SCHEMA = ReplySchema("chain", (Field(_EXPLANATION, "your explanation alone"),))
_EXPECTED_TOKENS = 150
"""Length of a usual chain."""
_DISAGREES = re.compile(r"(?i:\*\s*wrong[ _]answer\b)|\bWRONG[ _]ANSWER\b")
WRONG_ANSWER = "wrong answer"
LEAKED = "leaks"


@dataclass(frozen=True)
class PairPlan:
    """An item with its answers: what chains are asked for about."""

    placed: PlacedItem
    answers: FalseAnswer

    @property
    def wrong(self) -> AnswerOption:
        """The false answer, which every plan has."""
        assert self.answers.wrong is not None
        return self.answers.wrong


class FalseChain(NamedTuple):
    """One false chain: its sample from 0, its text, where it names the right answer, and the false alarms."""

    sample: int
    text: str
    leaks: tuple[Leak, ...]
    false_alarms: tuple[Leak, ...]


@dataclass(frozen=True)
class ReasoningChains:
    """What came of an item's chains.

    Attributes:
        status: of the last reply that was read.
        reason: why the item is left out; the words before its colon name the kind. Empty where it isn't.
        true: the true chain.
        states_answer: whether it states the right answer; None for code.
        false: the false chain that is used.
        read: every false chain that could be read.
        n_false: false chains that were asked for.
    """

    status: Status | None
    reason: str = ""
    true: str = ""
    states_answer: bool | None = None
    false: str = ""
    read: tuple[FalseChain, ...] = ()
    n_false: int = 0


def show_answer(answer: AnswerOption) -> str:
    """Return an answer as prompts and responses have it: "C) Earth", or a block of code."""
    return f"{answer.letter}) {answer.text}" if answer.letter else f"```python\n{answer.text}\n```"


class ChainWriter:
    """Asks for the chains of an item."""

    def __init__(self, true_prompt: str | None, false_prompt: str | None, tries: int, match_length: bool) -> None:
        """Read the prompts; raises SettingsError for one that can't work."""
        takes, must = ("question", "answer", "fence", "form"), ("question", "answer", "form")
        ours = PROMPTS / "true_chain.jinja", PROMPTS / "false_chain.jinja"
        self._true = read_template(ours[0], true_prompt, (*takes, _EXPLANATION), must, "--true-prompt")
        self._false = read_template(ours[1], false_prompt, takes, must, "--false-prompt")
        self._tries, self._match_length = tries, match_length

    @property
    def sources(self) -> dict[str, str]:
        """Return the hash of each prompt, by name."""
        return {prompt.name: prompt.hash for prompt in (self._true, self._false)}

    def planned_requests(self, plan: PairPlan) -> list[Request]:
        """Return the two requests that every item needs."""
        return [self._true_request(plan), self._false_request(plan)]

    def _true_request(self, plan: PairPlan) -> Request:
        explanation = {_EXPLANATION: plan.placed.item.explanation}
        return _request(self._true, plan.placed.item.prompt, plan.answers.right, explanation)

    def _false_request(self, plan: PairPlan) -> Request:
        return _request(self._false, plan.placed.item.prompt, plan.wrong, {})

    async def write(self, plan: PairPlan, calls: Calls) -> ReasoningChains:
        """Ask for an item's chains; raises `ItemFailed` where there is no reply."""
        request = self._true_request(plan)
        parsed = await calls.ask(request)
        if _DISAGREES.search(parsed.text):
            return ReasoningChains(parsed.status, f"{WRONG_ANSWER}: the oracle disagrees with the right answer")
        problem = _why_unusable(request, parsed)
        if problem:
            return ReasoningChains(parsed.status, f"true chain {problem}")
        true = parsed.texts[_EXPLANATION]
        right = plan.answers.right
        chains = ReasoningChains("ok", true=true, states_answer=states_answer(true, right) if right.letter else None)
        return await self._write_false(plan, chains, calls)

    async def _write_false(self, plan: PairPlan, chains: ReasoningChains, calls: Calls) -> ReasoningChains:
        item = plan.placed.item
        request = self._false_request(plan)
        finder = LeakFinder(item.question, plan.answers.right, plan.wrong)
        read: list[FalseChain] = []
        problem, status, sample = "", chains.status, 0
        for sample in range(self._tries):
            parsed = await calls.ask(request, sample)
            status, problem = parsed.status, _why_unusable(request, parsed)
            if problem:
                continue
            text = parsed.texts[_EXPLANATION]
            matches = finder.find(text)
            leaks = tuple(match for match in matches if not match.excuse)
            read.append(FalseChain(sample, text, leaks, tuple(match for match in matches if match.excuse)))
            if not leaks and not self._match_length:
                break
        chains = replace(chains, status=status, read=tuple(read), n_false=sample + 1)
        clean = [chain.text for chain in read if not chain.leaks]
        if clean:
            return replace(chains, status="ok", false=_nearest_text(clean, chains.true))
        if read:
            return replace(chains, reason=f"{LEAKED}: all {len(read)} false chains name the right answer")
        return replace(chains, reason=f"false chain {problem}")


def _nearest_text(texts: Sequence[str], other: str) -> str:
    """Return the text whose number of words is nearest to another's; the first of equals."""
    length = len(words(other))
    return min(texts, key=lambda text: abs(len(words(text)) - length))


def _request(prompt: PromptTemplate, question: str, answer: AnswerOption, more: dict[str, str]) -> Request:
    texts = {"question": question, "answer": show_answer(answer), **more}
    render = partial(prompt.render_with, {**texts, "fence": _fence(texts.values())})
    return Request(_SCHEMA, render, tuple(texts.values()), _EXPECTED_TOKENS)


def _fence(texts: Iterable[str]) -> str:
    return make_nonces(*texts).delimiter


def _why_unusable(request: Request, parsed: ParsedReply) -> str:
    """Say why a chain can't be used, with the reply's status first; empty where it can."""
    if parsed.status != "ok":
        return f"{parsed.status}: {parsed.problem}"
    if _fence(request.shown) in parsed.texts[_EXPLANATION]:
        return "unparsed: the reply repeats a line of the prompt"
    return ""
