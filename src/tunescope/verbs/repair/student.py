"""The student: the model that will be tuned decides which of the oracle's new texts to keep.

Selective Reflection-Tuning (Li et al. 2024, arXiv 2402.10110: selective instruction reflection, selective response
reflection), with x an instruction and y a response:

- A new instruction is kept, with its response, where IFD(y|x) = ppl(y|x) / ppl(y) rises: it is harder to follow.
- A new response is kept where r-IFD(x|y) = ppl(x|y') / ppl(x) falls: it says more about the instruction. y' is y in a
  request to guess the instruction.

ppl is `models.difficulty`'s. It gives r-IFD as the IFD of a reversed row, in which the user shows the response and the
assistant writes the instruction. Ours differs from the published code (tianyi-lab/Reflection_Tuning, selection_code):

- The request is our own (`prompts/guess.jinja`), in the model's chat template instead of always Vicuna's.
- x is the whole user message, its input included.
- A text has the same token ids in both of its terms.
- No text is cut to fit. One that doesn't fit has no score, instead of 0.
- A change of less than `TIE` is no change.
- No row is dropped for a score above 1.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunescope.answers import RecordLog
from tunescope.errors import NotCached
from tunescope.oracle.template import read_template
from tunescope.progress import say
from tunescope.rows import Message, Row
from tunescope.verbs.repair.records import PROMPTS, RepairResult, RepairSummary
from tunescope.views import Cell, Table, interval, percent

if TYPE_CHECKING:
    from tunescope.models import ModelSettings
    from tunescope.models.difficulty import Likelihoods
    from tunescope.verbs.repair.instruction_pair import InstructionPair

VERSION = 1
Stage = Literal["instruction", "response"]
SCORES: dict[Stage, str] = {"instruction": "ifd", "response": "rifd"}
"""The score that decides about a stage's new texts."""
TIE = 1e-3
"""A score has changed if it changes by more than this share of itself. Float noise is 3e-6 (packing, in float32)."""
_TERMS = ("ppl_response", "ppl_response_given")
COLUMNS: Mapping[str, str] = {
    **{f"{score}_{which}": "float64" for score in SCORES.values() for which in ("old", "new")},
    **{f"{stage}_selected": "bool" for stage in SCORES},
    **{f"{stage}_not_scored": "string" for stage in SCORES},
}
"""The columns that decisions add to the table `repairs`: name → Arrow type."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The scores of the old and the new pair, and whether the new one is kept.

    `selected` is None where a score is None. The old texts then stay, and `reason` says why; the words before its
    colon name the kind of reason.
    """

    old: float | None
    new: float | None
    selected: bool | None
    reason: str = ""


class Student:
    """The model that decides. It works in a thread of its own, so that calls to the oracle continue meanwhile.

    Each row's texts are packed by themselves, so scores don't depend on which rows come together. Decisions are written
    to a file, so a killed run makes none twice.
    """

    def __init__(self, settings: ModelSettings) -> None:
        """Keep the settings; `loaded` loads the model."""
        self.settings = settings
        self._guess = read_template(PROMPTS / "guess.jinja", None, ("response",), ("response",))
        self._decisions: dict[str, Decision] = {}
        self._likelihoods: Likelihoods
        self._log: RecordLog
        self._thread: ThreadPoolExecutor | None = None

    @property
    def inputs(self) -> dict[str, str]:
        """Return the hashes of what the decisions depend on, by name."""
        from tunescope.models import inputs_of

        template = self.settings.template
        if template is not None and template.endswith(".jinja") and Path(template).is_file():
            template = Path(template).read_text("utf-8")
        rules = json.dumps([VERSION, TIE, self._guess.hash, template, self.settings.template_arg])
        return {
            **inputs_of(self.settings),
            "the student's decisions": blake2b(rules.encode(), digest_size=16).hexdigest(),
        }

    @property
    def device(self) -> str:
        """Return the device that it will be loaded on."""
        from tunescope.models.load import device_of

        return device_of(self.settings)

    @contextmanager
    def loaded(self, folder: Path) -> Iterator[None]:
        """Load the model for as long as the context lasts; keep the decisions in `folder`.

        Raises:
            SettingsError, TunescopeError, MissingPackageError: the model can't be loaded, or has no chat template.
        """
        from tunescope.models import load
        from tunescope.models.difficulty import Likelihoods

        loaded = load(self.settings)
        say(f"the student is {loaded.name}, {loaded.dtype} on {loaded.device}")
        self._likelihoods = Likelihoods(loaded, self.settings)
        self._log = RecordLog(folder / "decisions.jsonl")
        self._decisions = {record["key"]: Decision(**record["decision"]) for record in self._log}
        with closing(self._log):
            self._thread = thread = ThreadPoolExecutor(1, "student")
            try:
                yield
            finally:
                thread.shutdown(cancel_futures=True)

    async def decide(self, stage: Stage, old: InstructionPair, new: InstructionPair) -> Decision:
        """Score both pairs and decide.

        Raises:
            NotCached: the model isn't loaded, as in a plan, which then counts the next stage as one to ask.
        """
        if self._thread is None:
            raise NotCached
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._decide, stage, old, new)

    def _decide(self, stage: Stage, old: InstructionPair, new: InstructionPair) -> Decision:
        texts = json.dumps([stage, *(sorted(pair.texts().items()) for pair in (old, new))])
        key = blake2b(texts.encode(), digest_size=16).hexdigest()
        if key not in self._decisions:
            self._decisions[key] = decision = self._score(stage, old, new)
            self._log.add({"key": key, "decision": asdict(decision)})
        return self._decisions[key]

    def _score(self, stage: Stage, old: InstructionPair, new: InstructionPair) -> Decision:
        rows = [_forward_row(pair) if stage == "instruction" else self._reversed_row(pair) for pair in (old, new)]
        records = [record for (record,) in self._likelihoods.measure(rows, _TERMS)]
        before, after = (record["ifd_ppl"] for record in records)
        if before is None or after is None:
            pair = f"the {'old' if before is None else 'new'} pair{' reversed' if stage == 'response' else ''}"
            return Decision(before, after, None, _reason(records[before is not None], pair))
        low, high = (before, after) if stage == "instruction" else (after, before)
        return Decision(before, after, high > low * (1 + TIE))

    def _reversed_row(self, pair: InstructionPair) -> Row:
        """Return the row whose response is the pair's instruction, with its input."""
        request = Message("user", self._guess.render(response=pair.response))
        *_, instruction, _ = pair.messages(pair.instruction, pair.response)
        return Row("", "", (request, Message("assistant", instruction.content)))


def _forward_row(pair: InstructionPair) -> Row:
    """Return the pair as the row that would be written."""
    fields = dict(pair.row.fields)
    if "instruction" in fields:
        fields["instruction"] = pair.instruction  # Alpaca's template writes it and its input apart
    return replace(pair.row, messages=pair.messages(pair.instruction, pair.response), fields=fields)


def _reason(record: dict[str, Any], pair: str) -> str:
    """Say why a record has no score; the words before the colon name the kind of reason."""
    default = "not finite" if "not finite" in record["reason"] else "too long"
    kinds = {None: "not rendered", 0: "no tokens"}
    return f"{kinds.get(record['response_tokens'], default)}: {pair}: {record['reason']}"


def decision_columns(decisions: Mapping[Stage, Decision]) -> dict[str, Cell]:
    """Return a row's cells of `COLUMNS`."""
    cells: dict[str, Cell] = {}
    for stage, decision in decisions.items():
        cells |= {f"{SCORES[stage]}_old": decision.old, f"{SCORES[stage]}_new": decision.new}
        cells |= {f"{stage}_selected": decision.selected, f"{stage}_not_scored": decision.reason or None}
    return cells


def describe_decision(stage: Stage, decisions: Mapping[Stage, Decision]) -> str:
    """Say what was decided about a stage's texts; "" where nothing was."""
    if stage not in decisions:
        return ""
    decision = decisions[stage]
    if decision.selected is None:
        return f" and not scored ({decision.reason})"
    verdict = "kept" if decision.selected else "rejected"
    return f" and {verdict} ({SCORES[stage]}_ppl {decision.new:.4g}, was {decision.old:.4g})"


def add_decisions(
    summary: RepairSummary, student: Student, stages: Sequence[Stage], results: Sequence[RepairResult]
) -> RepairSummary:
    """Add the decisions to a summary: by stage, proposed = kept + rejected + not scored, and the mean scores."""
    from tunescope import stats
    from tunescope.models import describe

    model = describe(student.settings)
    result: dict[str, Any] = {}
    counts, scores, reasons = [], [], []
    for stage in stages:
        rows = [r.columns for r in results if r.columns.get(f"{stage}_status") == "ok"]
        selected = Counter(columns[f"{stage}_selected"] for columns in rows)
        not_scored_reasons = [
            columns[f"{stage}_not_scored"] for columns in rows if columns[f"{stage}_selected"] is None
        ]
        not_scored_by = Counter(str(reason).partition(":")[0] for reason in not_scored_reasons)
        kept, rejected, not_scored = (selected[verdict] for verdict in (True, False, None))
        share = stats.proportion_from_counts(kept, kept + rejected, not_scored)
        result[f"{stage}_selection"] = {
            "proposed": len(rows),
            "kept": kept,
            "rejected": rejected,
            "not_scored": not_scored,
            "not_scored_by": dict(sorted(not_scored_by.items())),
            "share_kept": share.as_json("share"),
        }
        estimate = (percent(share.value, 0), interval(share.low, share.high))
        counts.append((stage, len(rows), kept, rejected, not_scored, *estimate))
        reasons += [(stage, reason, count) for reason, count in not_scored_by.most_common()]
        for which in ("old", "new"):
            name = f"{SCORES[stage]}_{which}"
            values = [result_.columns.get(name) for result_ in results]
            numbers = [value if isinstance(value, float) else None for value in values]
            mean = stats.mean(numbers, heavy_tailed=True, bounds=stats.FROM_0)
            result[name] = mean.as_json()
            scores.append((name, mean.value, interval(mean.low, mean.high), mean.n, mean.n_missing))
    tables = [
        Table(
            "The student's decisions",
            ("stage", "proposed", "kept", "rejected", "not scored", "share kept", "95 % interval"),
            tuple(counts),
            "Kept: new instructions whose IFD rises, new responses whose r-IFD falls. What has no score isn't kept.",
        ),
        Table(
            "The student's scores",
            ("", "mean", "95 % interval", "n", "n_missing"),
            tuple(scores),
            f"Mean ratios of perplexities by {model}, of the old and the new texts of each stage.",
        ),
    ]
    if reasons:
        tables.append(Table("Not scored", ("stage", "reason", "rows"), tuple(reasons)))
    sentences = (f"The student that decides is {model}.", *summary.sentences)
    result = {**summary.result, "student": model, **result}
    return summary._replace(result=result, sentences=sentences, tables=(*summary.tables, *tables))
