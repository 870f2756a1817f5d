"""`repair evolve`: an oracle makes instructions harder or rarer, then answers them (Evol-Instruct, Xu et al. 2023).

In each round a row gets one operation: one of five that go in depth, or a new instruction of the same field (in
breadth). What comes out is eliminated by the paper's four rules (section 3.2 of arXiv:2304.12244, "WizardLM"), else
instruction and response stand as a pair, and the next round builds on it. After an eliminated round the next one
tries again from the pair that still stands, as the paper puts it back into the pool.

Where ours differs: one row comes out per row, the last that held (the paper trains on all rounds together). The
operation is drawn by a hash of seed, row id and round; one that failed on an instruction isn't tried on it again,
since at temperature 0 the reply would be the same. Copied words are looked for before anything else is bought, then
a gain of information, then the response's two rules. "Copies the prompt" is our prompt's wording as well as the
paper's, and only what the old instruction didn't say itself.
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
from typing import TYPE_CHECKING, Any, Literal, get_args

from tunescope import runs
from tunescope.errors import ItemFailed
from tunescope.oracle.budget import estimate_tokens
from tunescope.oracle.replies import DECLINES, ParsedReply, Status, without_preamble
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.template import read_template
from tunescope.runs import INPUT, Run
from tunescope.settings import at_least, one_of
from tunescope.verbs.repair.lengths import WORDS, count_words, tell_words
from tunescope.verbs.repair.pairs import Pair
from tunescope.verbs.repair.work import PROMPTS, Mended, RepairSettings, Told, repair_job
from tunescope.views import Cell, Table, percent

if TYPE_CHECKING:
    from tunescope.oracle.calls import Calls

VERSION = 1
BREADTH = "breadth"
OPERATIONS = ("constraints", "deepen", "concretise", "reasoning", "complicate", BREADTH)
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
"""What `complicate` brings: the paper's six kinds of data."""
Rule = Literal["equal", "sorry", "empty", "copied"]
RULES: tuple[Rule, ...] = get_args(Rule)
"""The paper's elimination, in its order: no information gained; a short response that is sorry; one of punctuation and
stop words; words of the evolving prompt in the instruction."""
Outcome = Literal["held", "equal", "sorry", "empty", "copied", "unparsed", "refused", "truncated", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
SHORT = 80
"""Words from which on a response that says sorry is an answer all the same."""
COPIED = 6
"""Words in a row that stand in the prompt and in a new instruction by no accident."""
PHRASES = (
    *(f"{which} {what}" for which in ("given", "rewritten", "created", "new") for what in ("prompt", "instruction")),
    "original instruction",
)
"""What a rewriting says that talks of itself."""
VERDICT = re.compile(r"\W*(?P<unlike>not\W+|un)?equal\W*", re.IGNORECASE)
NEW, SAID = "new_instruction", "verdict"
EVOLVED = ReplySchema("evolved", (Field(NEW, "the instruction that comes out alone, without an answer or remarks"),))
COMPARED = ReplySchema("compared", (Field(SAID, "equal or not equal"),))
MORE = 15
"""Words that an evolved instruction is expected to have more: the prompt asks for 10 to 20."""
SAYS = 10
"""Tokens of a usual verdict."""


@dataclass(frozen=True, kw_only=True)
class EvolveSettings(RepairSettings):
    """Have an oracle make instructions harder or rarer, and answer them."""

    rounds: int = field(default=1, metadata=at_least(1))
    """How often each instruction is evolved; the paper runs 4, for up to three calls per row and round."""

    operations: tuple[str, ...] = field(default=OPERATIONS, metadata=one_of(*OPERATIONS))
    """Those to draw from: constraints, deepen, concretise, reasoning, complicate (in depth), breadth."""

    seed: int = 0
    """Draws the operations; also sent to the server where the temperature is above 0."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file for evolving instead of ours: system, instruction, input, operation, data and form (a must)."""

    check_prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file for the verdict equal or not equal: instruction, new_instruction, input and form (a must)."""

    response_prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file for the new response: system, instruction and input; ours is these alone."""

    max_new_tokens: int = field(default=2048, metadata=at_least(1))
    """Longest reply in tokens."""


def evolve(settings: EvolveSettings) -> Run:
    """Write the evolved rows; `repairs` has each round's operation and outcome, and the words before and after.

    The instruction that each round began with is in the lineage's notes. A row is ok where every round held,
    partial where some did, fallback where none did; it then is as it was.

    Raises:
        As `work.repair_job`.
    """
    return runs.execute(*repair_job(settings, _Evolve(settings)))


@dataclass(frozen=True, slots=True)
class _Round:
    """What came of one round: the new pair where it held; `why` says more of an outcome."""

    operation: str
    outcome: Outcome
    pair: Pair | None = None
    why: str = ""
    preamble: bool = False


class _Evolve:
    name = "repair evolve"
    version = VERSION
    columns: Mapping[str, str] = {
        "operations": "string",
        "outcomes": "string",
        "rounds_held": "int64",
        **{f"eliminated_{rule}": "int64" for rule in RULES},
        "preambles": "int64",
        **dict.fromkeys(WORDS, "int64"),
    }

    def __init__(self, settings: EvolveSettings) -> None:
        self.settings = settings
        texts = ("system", "instruction", "input")
        takes = (*texts, "operation", "data", "form")
        self._evolve = read_template(PROMPTS / "evolve.jinja", settings.prompt, takes, ("form",))
        self._check = read_template(
            PROMPTS / "evolve_check.jinja",
            settings.check_prompt,
            ("instruction", "new_instruction", "input", "form"),
            ("form",),
            "--check-prompt",
        )
        self._answer = read_template(
            PROMPTS / "evolve_response.jinja", settings.response_prompt, texts, option="--response-prompt"
        )

    @property
    def sources(self) -> dict[str, str]:
        prompts = {"evolve": self._evolve, "check": self._check, "response": self._answer}
        return {f"{what}: {template.name}": template.hash for what, template in prompts.items()}

    def _operation(self, pair: Pair, number: int, tried: Sequence[str]) -> str | None:
        """Draw a round's operation among those not tried yet; the same whatever the order of rows."""
        left = [name for name in self._defined(pair) if name not in tried]
        return _drawn(left, self.settings.seed, pair.row.id, number)

    def _defined(self, pair: Pair) -> list[str]:
        """Return the operations for a row: a wholly new instruction would have no use for the row's input."""
        return [name for name in self.settings.operations if name != BREADTH or not pair.input]

    def _ask(self, pair: Pair, operation: str, expected: int = 0) -> Request:
        texts, data = pair.texts(), _drawn(DATA, self.settings.seed, pair.row.id, 0)
        render = partial(self._evolve.render_with, {**texts, "operation": operation, "data": data})
        return Request(EVOLVED, render, tuple(texts.values()), expected)

    def _ask_verdict(self, pair: Pair, new: str) -> Request:
        texts = pair.texts()
        render = partial(self._check.render_with, {**texts, "new_instruction": new})
        return Request(COMPARED, render, (new, *texts.values()), SAYS)

    def _ask_answer(self, pair: Pair, expected: int = 0) -> Request:
        return Request.plain(self._answer.render(**pair.texts()), expected)

    def asks(self, pair: Pair) -> list[Request]:
        """Return what is asked if every round holds, its instruction longer by `MORE` words (its operation's name)."""
        found, now = list[Request](), pair
        for number in range(1, self.settings.rounds + 1):
            operation = self._operation(pair, number, ())
            if operation is None:
                break
            new = replace(now, instruction=now.instruction + f" {operation}" * MORE)
            found += [
                self._ask(now, operation, estimate_tokens(len(new.instruction))),
                self._ask_verdict(now, new.instruction),
                self._ask_answer(new, estimate_tokens(len(pair.response))),
            ]
            now = new
        return found

    async def mend(self, pair: Pair, calls: Calls) -> Mended:
        if not self._defined(pair):
            return Mended(None, "input: breadth alone isn't defined for a row with an input; add other --operations")
        now, rounds, tried, notes = pair, list[_Round](), list[str](), dict[str, str]()
        for number in range(1, self.settings.rounds + 1):
            operation = self._operation(pair, number, tried)
            if operation is None:
                break
            try:
                came = await self._round(now, operation, calls)
            except ItemFailed as error:
                if not calls.ids:
                    raise
                came = _Round(operation, "failed", why=str(error))
            rounds.append(came)
            notes[f"{number} {operation} {came.outcome}"] = now.instruction
            if came.outcome == "failed":
                break
            now, tried = (now, [*tried, operation]) if came.pair is None else (came.pair, [])
        return _mended(pair, now, rounds, self.settings.rounds, notes)

    async def _round(self, now: Pair, operation: str, calls: Calls) -> _Round:
        """Evolve once, from a pair to the next; raises `ItemFailed` where no reply can be had."""
        question = self._ask(now, operation)
        outcome, text = _part(await calls.ask(question), NEW)
        text, line = without_preamble(text)
        new = now.without_input(text)
        if not new:
            return _Round(operation, "unparsed" if outcome == "held" else outcome)
        copied = _copied(question, new, now)
        if copied:
            return _Round(operation, "copied", why=repr(copied))
        if new.split() == now.instruction.split():
            return _Round(operation, "equal", why="word for word")
        outcome, text = _part(await calls.ask(self._ask_verdict(now, new)), SAID)
        verdict = VERDICT.fullmatch(text)
        if verdict is None:
            return _Round(operation, "unparsed" if outcome == "held" else outcome, why="the verdict")
        if verdict["unlike"] is None:
            return _Round(operation, "equal")
        evolved = replace(now, instruction=new)
        parsed = await calls.ask(self._ask_answer(evolved))
        outcome, why = _judged(parsed)
        if outcome != "held":
            return _Round(operation, outcome, why=why)
        return _Round(operation, "held", replace(evolved, response=parsed.text.strip()), preamble=line != "")

    def told(self, mended: Sequence[Mended], run: Path, rows: Path) -> Told:
        from tunescope.stats import proportion

        counts = {name: Counter[str]() for name in OPERATIONS if name in self.settings.operations}
        for m in mended:
            for operation, outcome in _rounds_of(m):
                counts[operation][outcome] += 1
        total = sum(counts.values(), Counter[str]())
        held = [m.columns.get("rounds_held") for m in mended]
        share = proportion([None if n is None else float(n != 0) for n in held])
        cells: list[tuple[Cell, ...]] = [
            (name, c.total(), *(c[outcome] for outcome in OUTCOMES)) for name, c in counts.items()
        ]
        operations = Table(
            "Operations",
            ("operation", "tried", *OUTCOMES),
            (*cells, ("all", total.total(), *(total[outcome] for outcome in OUTCOMES))),
            "Eliminated: equal (nothing gained), sorry (and short), empty (a response of stop words), copied (words of "
            "the prompt). The others are replies that can't be used, or none.",
        )
        spread = {n: held.count(n) for n in range(self.settings.rounds + 1)}
        rounds = Table("Rounds that held", ("rounds", "rows"), tuple(spread.items()), "Rows with a reply.")
        lengths, words = tell_words(mended)
        eliminated = sum(total[rule] for rule in RULES)
        preambles = sum(int(m.columns.get("preambles") or 0) for m in mended)
        sentences = (
            f"{total.total():,} evolutions = {total['held']:,} held + {eliminated:,} eliminated "
            f"({', '.join(f'{rule} {total[rule]:,}' for rule in RULES)}) + "
            f"{total.total() - total['held'] - eliminated:,} without a reply that can be used.",
            f"Rows in which a round held: {percent(share.value, 1)} [{percent(share.low, 1)}, "
            f"{percent(share.high, 1)}] of n = {share.n:,}; {share.n_missing:,} have no reply. "
            f"Preambles stripped from new instructions: {preambles:,}.",
        )
        result: dict[str, Any] = {
            "operations": {name: _counted(c) for name, c in counts.items()},
            "evolutions": {**_counted(total), "eliminated": eliminated},
            "rounds_held": {str(n): count for n, count in spread.items()},
            "share_held": share.as_json("share"),
            "preambles": preambles,
            **lengths,
        }
        return Told(result, sentences, (operations, rounds, words), (f"tunescope check {shlex.quote(str(rows))}",))


def _drawn(names: Sequence[str], *by: object) -> str | None:
    """Draw one of the names by a hash; it stays the one drawn when others are taken away. None of none."""
    text = "\n".join(map(str, by))
    return min(names, key=lambda name: blake2b(f"{text}\n{name}".encode(), digest_size=8).digest(), default=None)


ENDED: Mapping[Status, Outcome] = {"ok": "held", "refused": "refused", "truncated": "truncated"}


def _part(parsed: ParsedReply, name: str) -> tuple[Outcome, str]:
    """Return a reply's one part, with "held"; where it isn't whole, why, with ""."""
    return ENDED.get(parsed.status, "unparsed"), parsed.texts.get(name, "")


def _copied(question: Request, new: str, old: Pair) -> str:
    """Return the words of the prompt that a new instruction copies, and the row doesn't hold; "" for none."""
    from tunescope.text.words import words

    texts = old.texts().values()
    asked = "\n".join(question.render(way).prompt for way in ("json", "tags"))
    own = [f" {' '.join(words(text))} " for text in texts]
    said = f" {' '.join(words(new))} "
    phrases = {
        phrase for phrase in (*PHRASES, NEW) if f" {phrase} " in said and not any(f" {phrase} " in text for text in own)
    }
    lines = _lines(new) & _lines(asked) - set().union(*map(_lines, texts))
    runs = _runs(new) & _runs(asked) - set().union(*map(_runs, texts))
    return min(phrases or lines | runs, default="")


def _lines(text: str) -> set[str]:
    """Return the lines of a text that aren't blank."""
    return {line.strip() for line in text.splitlines()} - {""}


def _runs(text: str) -> set[str]:
    """Return every run of `COPIED` words."""
    from tunescope.text.words import words

    found = words(text)
    return {" ".join(found[start : start + COPIED]) for start in range(len(found) - COPIED + 1)}


def _judged(parsed: ParsedReply) -> tuple[Outcome, str]:
    """Tell whether a response can stand: whole, no short apology, and with a word that says something."""
    from tunescope.text.words import stop_words, words

    if parsed.status == "refused":
        return "refused", parsed.problem
    if parsed.status == "truncated":
        return "truncated", "the response"
    if parsed.status == "unparsed":
        return "unparsed", "the response"
    found = words(parsed.text)
    if "sorry" in found and len(found) < SHORT:
        return "sorry", f"{len(found)} words"
    if not set(found) - stop_words():
        return "empty", ""
    if len(found) < SHORT and DECLINES.match(parsed.text):
        return "refused", "the response"
    return "held", ""


def _mended(pair: Pair, now: Pair, rounds: Sequence[_Round], wanted: int, notes: Mapping[str, str]) -> Mended:
    outcomes = [each.outcome for each in rounds]
    held = outcomes.count("held")
    status: Status = "ok" if held == wanted else "partial" if held else "fallback"
    listed = ", ".join(
        f"{number} {each.operation} {each.outcome}{f' ({each.why})' if each.why else ''}"
        for number, each in enumerate(rounds, 1)
    )
    if len(rounds) < wanted and "failed" not in outcomes:
        listed += ", then no operation was left to try"
    columns: dict[str, Cell] = {
        "operations": ", ".join(each.operation for each in rounds),
        "outcomes": ", ".join(outcomes),
        "rounds_held": held,
        **{f"eliminated_{rule}": outcomes.count(rule) for rule in RULES},
        "preambles": sum(each.preamble for each in rounds),
        **count_words(pair, now),
    }
    reason = f"{'evolved' if status == 'ok' else status}: {listed}"
    return Mended(status, reason, now.instruction, now.response, columns, notes)


def _rounds_of(mended: Mended) -> list[tuple[str, str]]:
    """Return operation and outcome of each of a row's rounds."""
    operations, outcomes = mended.columns.get("operations"), mended.columns.get("outcomes")
    if not isinstance(operations, str) or not isinstance(outcomes, str):
        return []
    return list(zip(operations.split(", "), outcomes.split(", "), strict=True))


def _counted(counts: Counter[str]) -> dict[str, int]:
    return {"tried": counts.total(), **{outcome: counts[outcome] for outcome in OUTCOMES}}
