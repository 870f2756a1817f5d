"""`repair evolve`: an oracle makes instructions harder or rarer, then answers them (Evol-Instruct, Xu et al. 2023).

In each round a row gets one operation: one of five in depth, or a new instruction of the same field (in breadth). The
new pair is eliminated by one of the paper's four rules (section 3.2 of arXiv:2304.12244, "WizardLM"), or it holds and
the next round builds on it. After an eliminated round the next one tries again from the last pair that held, as the
paper puts it back into the pool.

Ours differs from the paper:

- One row comes out per row, the last pair that held. The paper trains on all rounds together.
- The operation is drawn by a hash of seed, row id and round. One that failed on an instruction isn't tried on it again,
  since at temperature 0 the reply would be the same.
- Copied words are checked before any further call, then the gain of information, then the two rules for the response.
- The rule against copying covers the wording of our prompt as well as the paper's, except words that the old
  instruction has itself.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope import runs
from tunescope.errors import ItemFailed
from tunescope.oracle.replies import Status, without_preamble
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.template import read_template
from tunescope.oracle.usage import estimate_tokens
from tunescope.runs import INPUT, Run
from tunescope.settings import at_least, one_of
from tunescope.verbs.repair.elimination import (
    NEW_INSTRUCTION,
    OUTCOMES,
    RULES,
    RoundOutcome,
    check_response,
    find_copied_words,
    read_field,
)
from tunescope.verbs.repair.instruction_pair import InstructionPair
from tunescope.verbs.repair.records import PROMPTS, RepairResult, RepairSummary
from tunescope.verbs.repair.settings import RepairSettings
from tunescope.verbs.repair.word_counts import WORD_COLUMNS, count_words, summarize_word_counts
from tunescope.verbs.repair.work import repair_job
from tunescope.views import Cell, Table, percent

if TYPE_CHECKING:
    from tunescope.oracle.calls import Calls

VERSION = 4
_BREADTH = "breadth"
OPERATIONS = ("constraints", "deepen", "concretise", "reasoning", "complicate", _BREADTH)
"""Section 3.2: five in depth (add constraints, deepening, concretizing, increase reasoning steps, complicate input),
one in breadth."""
DATA = (
    "a piece of XML",
    "a few SQL tables",
    "a piece of Python code",
    "a piece of HTML",
    "shell commands and their output",
    "a piece of JSON",
)
"""The data that `complicate` adds: the paper's six kinds."""
_VERDICT = re.compile(r"\W*(?P<negation>not\W+|un)?equal\W*", re.IGNORECASE)
_GAIN = "verdict"
_EVOLVED = ReplySchema(
    "evolved",
    (Field(NEW_INSTRUCTION, "the instruction that comes out alone, without an answer or remarks", is_request=True),),
)
_COMPARED = ReplySchema("compared", (Field(_GAIN, "equal or not equal"),))
_ADDED_WORDS = 15
"""Words that an evolution is expected to add: the prompt asks for 10 to 20."""
_VERDICT_TOKENS = 10
"""Length of a usual verdict."""


@dataclass(frozen=True, kw_only=True)
class EvolveSettings(RepairSettings):
    """Have an oracle make instructions harder or rarer, and answer them."""

    rounds: int = field(default=1, metadata=at_least(1))
    """How often each instruction is evolved; 4 times in the WizardLM paper. Each round costs up to three calls per
    row."""

    operations: tuple[str, ...] = field(default=OPERATIONS, metadata=one_of(*OPERATIONS))
    """The operations to draw from: constraints, deepen, concretise, reasoning, complicate (in depth), breadth."""

    seed: int = 0
    """Seed of the draw of operations. It is also sent to the server if the temperature is above 0."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file with your own prompt for evolving. It must show instruction and form, and input where rows have one.
    It may use system, operation, data, and fence, a code that occurs in no text of the row."""

    check_prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file with your own prompt for the verdict, equal or not equal. It must show instruction, new_instruction
    and form, and input where rows have one. It may use fence."""

    response_prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file with your own prompt for the new response. It must show instruction, and input where rows have one.
    It may use system."""

    max_new_tokens: int = field(default=2048, metadata=at_least(1))
    """Maximum length of a reply in tokens."""


def evolve(settings: EvolveSettings) -> Run:
    """Write the evolved rows; `repairs` has each round's operation and outcome, and the words before and after.

    The lineage's notes hold the instruction that each round began with. A row is ok if every round succeeded, partial
    if some did, and fallback if none did. A fallback row stays as it was.

    Raises:
        As `work.repair_job`.
    """
    return runs.execute(*repair_job(settings, _Evolve(settings)))


@dataclass(frozen=True, slots=True)
class _Round:
    """The result of one round: the new pair if it held; `why` explains an outcome further."""

    operation: str
    outcome: RoundOutcome
    pair: InstructionPair | None = None
    why: str = ""
    preamble: bool = False


class _Evolve:
    name = "repair evolve"
    version = VERSION
    rewrites_instructions = True
    columns: Mapping[str, str] = {
        "operations": "string",
        "outcomes": "string",
        "rounds_held": "int64",
        **{f"eliminated_{rule}": "int64" for rule in RULES},
        "preambles": "int64",
        **dict.fromkeys(WORD_COLUMNS, "int64"),
    }

    def __init__(self, settings: EvolveSettings) -> None:
        self.settings = settings
        texts = ("system", "instruction", "input")
        self._evolve = read_template(
            PROMPTS / "evolve.jinja",
            settings.prompt,
            (*texts, "operation", "data", "fence", "form"),
            ("instruction", "form"),
            trials=[{"operation": operation} for operation in settings.operations],
        )
        self._check = read_template(
            PROMPTS / "evolve_check.jinja",
            settings.check_prompt,
            ("instruction", "new_instruction", "input", "fence", "form"),
            ("instruction", "new_instruction", "form"),
            "--check-prompt",
            [{}],
        )
        self._answer = read_template(
            PROMPTS / "evolve_response.jinja",
            settings.response_prompt,
            texts,
            ("instruction",),
            "--response-prompt",
            [{}],
        )

    @property
    def sources(self) -> dict[str, str]:
        templates = {"evolve": self._evolve, "check": self._check, "response": self._answer}
        return {f"{name}: {template.name}": template.hash for name, template in templates.items()}

    def _draw_operation(self, pair: InstructionPair, number: int, tried: Sequence[str]) -> str | None:
        """Draw a round's operation among those not tried yet, whatever the order of rows; None if there is none."""
        untried = [name for name in self._applicable(pair) if name not in tried]
        return _draw(untried, self.settings.seed, pair.row.id, number)

    def _applicable(self, pair: InstructionPair) -> list[str]:
        """Return the operations for a row: a wholly new instruction couldn't use the row's input."""
        return [name for name in self.settings.operations if name != _BREADTH or not pair.input]

    def _evolution_request(self, pair: InstructionPair, operation: str, expected: int = 0) -> Request:
        texts, data = pair.texts(), _draw(DATA, self.settings.seed, pair.row.id, 0)
        render = partial(self._evolve.render_with, {**texts, "operation": operation, "data": data})
        return Request(_EVOLVED, render, tuple(texts.values()), expected)

    def _verdict_request(self, pair: InstructionPair, new: str) -> Request:
        texts = pair.texts()
        render = partial(self._check.render_with, {**texts, "new_instruction": new})
        return Request(_COMPARED, render, (new, *texts.values()), _VERDICT_TOKENS)

    def _response_request(self, pair: InstructionPair, expected: int = 0) -> Request:
        return Request.plain(self._answer.render(**pair.texts()), expected)

    def planned_requests(self, pair: InstructionPair) -> list[Request]:
        """Return the requests if every round holds and adds `_ADDED_WORDS` words (its operation's name)."""
        requests, current = list[Request](), pair
        for number in range(1, self.settings.rounds + 1):
            operation = self._draw_operation(pair, number, ())
            if operation is None:
                break
            new = replace(current, instruction=current.instruction + f" {operation}" * _ADDED_WORDS)
            requests += [
                self._evolution_request(current, operation, estimate_tokens(new.instruction)),
                self._verdict_request(current, new.instruction),
                self._response_request(new, estimate_tokens(pair.response)),
            ]
            current = new
        return requests

    async def repair_row(self, pair: InstructionPair, calls: Calls) -> RepairResult:
        if not self._applicable(pair):
            return RepairResult(
                None, "input: breadth alone isn't applicable to a row with an input; add other --operations"
            )
        current, rounds, tried, notes = pair, list[_Round](), list[str](), dict[str, str]()
        for number in range(1, self.settings.rounds + 1):
            operation = self._draw_operation(pair, number, tried)
            if operation is None:
                break
            try:
                result = await self._run_round(current, operation, calls)
            except ItemFailed as error:
                if not calls.ids:
                    raise
                result = _Round(operation, "failed", why=str(error))
            rounds.append(result)
            notes[f"{number} {operation} {result.outcome}"] = current.instruction
            if result.outcome == "failed":
                break
            current, tried = (current, [*tried, operation]) if result.pair is None else (result.pair, [])
        return _make_result(pair, current, rounds, self.settings.rounds, notes)

    async def _run_round(self, current: InstructionPair, operation: str, calls: Calls) -> _Round:
        """Evolve a pair once and apply the rules; raises `ItemFailed` where no reply can be had."""
        request = self._evolution_request(current, operation)
        outcome, text = read_field(await calls.ask(request), NEW_INSTRUCTION)
        text, preamble = without_preamble(text)
        new = current.without_input(text)
        if not new:
            return _Round(operation, "unparsed" if outcome == "held" else outcome)
        copied = find_copied_words(request, new, current)
        if copied:
            return _Round(operation, "copied", why=repr(copied))
        if new.split() == current.instruction.split():
            return _Round(operation, "equal", why="word for word")
        outcome, text = read_field(await calls.ask(self._verdict_request(current, new)), _GAIN)
        verdict = _VERDICT.fullmatch(text)
        if verdict is None:
            return _Round(operation, "unparsed" if outcome == "held" else outcome, why="the verdict")
        if verdict["negation"] is None:
            return _Round(operation, "equal")
        evolved = replace(current, instruction=new)
        parsed = await calls.ask(self._response_request(evolved))
        outcome, why = check_response(parsed)
        if outcome != "held":
            return _Round(operation, outcome, why=why)
        return _Round(operation, "held", replace(evolved, response=parsed.text.strip()), preamble=preamble != "")

    def summarize(self, results: Sequence[RepairResult], run: Path, rows: Path) -> RepairSummary:
        from tunescope.stats import proportion

        counts = {name: Counter[str]() for name in OPERATIONS if name in self.settings.operations}
        for each in results:
            for operation, outcome in _rounds_of(each):
                counts[operation][outcome] += 1
        total = sum(counts.values(), Counter[str]())
        held = [each.columns.get("rounds_held") for each in results]
        share = proportion([None if n is None else float(n != 0) for n in held])
        cells: list[tuple[Cell, ...]] = [
            (name, c.total(), *(c[outcome] for outcome in OUTCOMES)) for name, c in counts.items()
        ]
        operations = Table(
            "Operations",
            ("operation", "tried", *OUTCOMES),
            (*cells, ("all", total.total(), *(total[outcome] for outcome in OUTCOMES))),
            "Eliminated: equal (nothing gained), sorry (a short apology), empty (only stop words), copied (words of "
            "the prompt). The columns after these count replies that can't be used, and failed calls.",
        )
        spread = {n: held.count(n) for n in range(self.settings.rounds + 1)}
        rounds = Table("Rounds that held", ("rounds", "rows"), tuple(spread.items()), "Rows with a reply.")
        lengths, words = summarize_word_counts(results)
        eliminated = sum(total[rule] for rule in RULES)
        preambles = sum(int(each.columns.get("preambles") or 0) for each in results)
        sentences = (
            f"{total.total():,} evolutions = {total['held']:,} held + {eliminated:,} eliminated "
            f"({', '.join(f'{rule} {total[rule]:,}' for rule in RULES)}) + "
            f"{total.total() - total['held'] - eliminated:,} without a reply that can be used.",
            f"Rows in which at least one round held: {percent(share.value, 1)} [{percent(share.low, 1)}, "
            f"{percent(share.high, 1)}] of n = {share.n:,}. {share.n_missing:,} rows have no reply. "
            f"Preambles stripped from new instructions: {preambles:,}.",
        )
        result: dict[str, Any] = {
            "operations": {name: _as_json(c) for name, c in counts.items()},
            "evolutions": {**_as_json(total), "eliminated": eliminated},
            "rounds_held": {str(n): count for n, count in spread.items()},
            "share_held": share.as_json("share"),
            "preambles": preambles,
            **lengths,
        }
        return RepairSummary(
            result, sentences, (operations, rounds, words), (f"tunescope check {shlex.quote(str(rows))}",)
        )


def _draw(names: Sequence[str], *by: object) -> str | None:
    """Draw one of the names by a hash, None if there is none. Taking away other names doesn't change the draw."""
    text = "\n".join(map(str, by))
    return min(names, key=lambda name: blake2b(f"{text}\n{name}".encode(), digest_size=8).digest(), default=None)


def _make_result(
    pair: InstructionPair, current: InstructionPair, rounds: Sequence[_Round], n_rounds: int, notes: Mapping[str, str]
) -> RepairResult:
    outcomes = [each.outcome for each in rounds]
    held = outcomes.count("held")
    status: Status = "ok" if held == n_rounds else "partial" if held else "fallback"
    listed = ", ".join(
        f"{number} {each.operation} {each.outcome}{f' ({each.why})' if each.why else ''}"
        for number, each in enumerate(rounds, 1)
    )
    if len(rounds) < n_rounds and "failed" not in outcomes:
        listed += ", then no operation was left to try"
    columns: dict[str, Cell] = {
        "operations": ", ".join(each.operation for each in rounds),
        "outcomes": ", ".join(outcomes),
        "rounds_held": held,
        **{f"eliminated_{rule}": outcomes.count(rule) for rule in RULES},
        "preambles": sum(each.preamble for each in rounds),
        **count_words(pair, current),
    }
    reason = f"{'evolved' if status == 'ok' else status}: {listed}"
    return RepairResult(status, reason, current.instruction, current.response, columns, notes)


def _rounds_of(result: RepairResult) -> list[tuple[str, str]]:
    """Return operation and outcome of each of a row's rounds."""
    operations, outcomes = result.columns.get("operations"), result.columns.get("outcomes")
    if not isinstance(operations, str) or not isinstance(outcomes, str):
        return []
    return list(zip(operations.split(", "), outcomes.split(", "), strict=True))


def _as_json(counts: Counter[str]) -> dict[str, int]:
    return {"tried": counts.total(), **{outcome: counts[outcome] for outcome in OUTCOMES}}
