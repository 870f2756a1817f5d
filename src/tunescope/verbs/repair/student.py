"""The student decides: of what the oracle writes, the model that will be tuned takes what teaches it more.

Selective Reflection-Tuning (Li et al. 2024, arXiv 2402.10110: selective instruction reflection, selective response
reflection), with x an instruction and y a response:

- a new instruction stays, with its response, where IFD(y|x) = ppl(y|x) / ppl(y) rises: it is harder to follow;
- a new response stays where r-IFD(x|y) = ppl(x|y') / ppl(x) falls: it says more about what was asked. y' is y in a
  request to guess the instruction.

ppl is `models.difficulty`'s, which gives r-IFD as the IFD of a row turned round: the user shows the response, the
assistant writes the instruction. Ours differs from the published code (tianyi-lab/Reflection_Tuning, selection_code):
the request is our own (`prompts/guess.jinja`), in the model's chat template instead of always Vicuna's; x is the whole
user message, its input included; a text has the same token ids in both of its terms; nothing is cut to fit, and what
doesn't fit has no score instead of 0; less than `TIE` is no change; no row is left out for a score above 1.
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
from tunescope.verbs.repair.work import PROMPTS, Mended, Told
from tunescope.views import Cell, Table, interval, percent

if TYPE_CHECKING:
    from tunescope.models import ModelSettings
    from tunescope.models.difficulty import Likelihoods
    from tunescope.verbs.repair.pairs import Pair

VERSION = 1
Stage = Literal["instruction", "response"]
SCORES: dict[Stage, str] = {"instruction": "ifd", "response": "rifd"}
"""What decides about a stage's new texts."""
TIE = 1e-3
"""A score that changes by less than this share of itself hasn't changed: texts that are the same to the model, and
float noise (3e-6 by packing, in float32)."""
TERMS = ("ppl_response", "ppl_response_given")
COLUMNS: Mapping[str, str] = {
    **{f"{score}_{which}": "float64" for score in SCORES.values() for which in ("old", "new")},
    **{f"{stage}_selected": "bool" for stage in SCORES},
    **{f"{stage}_not_scored": "string" for stage in SCORES},
}
"""What decisions add to the table `repairs`."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the student says of new texts: the scores of the old and the new pair, and whether the new one stays.

    `selected` is None where a score is; the old texts then stay, and `reason`, whose first words name it, says why.
    """

    old: float | None
    new: float | None
    selected: bool | None
    reason: str = ""


class Student:
    """The model that decides, at work in a thread of its own, so that calls go on meanwhile.

    What is decided about one row is packed by itself, so that scores don't depend on which rows come together, and is
    kept, so that a killed run decides nothing twice.
    """

    def __init__(self, settings: ModelSettings) -> None:
        """Take how the model is named and loaded; `at_work` loads it."""
        self.settings = settings
        self._guess = read_template(PROMPTS / "guess.jinja", None, ("response",), ("response",))
        self._made: dict[str, Decision] = {}
        self._likelihoods: Likelihoods
        self._kept: RecordLog
        self._thread: ThreadPoolExecutor | None = None

    @property
    def inputs(self) -> dict[str, str]:
        """Return what decides, by name: a hash of each."""
        from tunescope.models import inputs_of

        template = self.settings.template
        if template is not None and template.endswith(".jinja") and Path(template).is_file():
            template = Path(template).read_text("utf-8")
        how = json.dumps([VERSION, TIE, self._guess.hash, template, self.settings.template_arg])
        return {
            **inputs_of(self.settings),
            "the student's decisions": blake2b(how.encode(), digest_size=16).hexdigest(),
        }

    @property
    def device(self) -> str:
        """Return where it will lie."""
        from tunescope.models.load import device_of

        return device_of(self.settings)

    @contextmanager
    def at_work(self, folder: Path) -> Iterator[None]:
        """Load the model; decide while the context lasts, keeping decisions in `folder`.

        Raises:
            SettingsError, TunescopeError, MissingPackageError: the model can't be loaded, or has no chat template.
        """
        from tunescope.models import load
        from tunescope.models.difficulty import Likelihoods

        loaded = load(self.settings)
        say(f"the student is {loaded.name}, {loaded.dtype} on {loaded.device}")
        self._likelihoods = Likelihoods(loaded, self.settings)
        self._kept = RecordLog(folder / "decisions.jsonl")
        self._made = {record["key"]: Decision(**record["decision"]) for record in self._kept}
        with closing(self._kept):
            self._thread = thread = ThreadPoolExecutor(1, "student")
            try:
                yield
            finally:
                thread.shutdown(cancel_futures=True)

    async def decide(self, stage: Stage, old: Pair, new: Pair) -> Decision:
        """Score both pairs and decide.

        Raises:
            NotCached: it isn't at work, as in a plan, which then counts the next stage as one to ask.
        """
        if self._thread is None:
            raise NotCached
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._decide, stage, old, new)

    def _decide(self, stage: Stage, old: Pair, new: Pair) -> Decision:
        texts = json.dumps([stage, *(sorted(pair.texts().items()) for pair in (old, new))])
        key = blake2b(texts.encode(), digest_size=16).hexdigest()
        if key not in self._made:
            self._made[key] = decision = self._scored(stage, old, new)
            self._kept.add({"key": key, "decision": asdict(decision)})
        return self._made[key]

    def _scored(self, stage: Stage, old: Pair, new: Pair) -> Decision:
        rows = [_row(pair) if stage == "instruction" else self._turned_round(pair) for pair in (old, new)]
        records = [record for (record,) in self._likelihoods.measure(rows, TERMS)]
        was, now = (record["ifd_ppl"] for record in records)
        if was is None or now is None:
            pair = f"the {'old' if was is None else 'new'} pair{' turned round' if stage == 'response' else ''}"
            return Decision(was, now, None, _reason(records[was is not None], pair))
        low, high = (was, now) if stage == "instruction" else (now, was)
        return Decision(was, now, high > low * (1 + TIE))

    def _turned_round(self, pair: Pair) -> Row:
        """Return the row whose response is the pair's instruction, with its input."""
        question = Message("user", self._guess.render(response=pair.response))
        *_, asked, _ = pair.messages(pair.instruction, pair.response)
        return Row("", "", (question, Message("assistant", asked.content)))


def _row(pair: Pair) -> Row:
    """Return the pair as the row that it would be written as."""
    fields = dict(pair.row.fields)
    if "instruction" in fields:
        fields["instruction"] = pair.instruction  # Alpaca's template writes it and its input apart
    return replace(pair.row, messages=pair.messages(pair.instruction, pair.response), fields=fields)


def _reason(record: dict[str, Any], pair: str) -> str:
    """Say why a record has no score; the first words say which kind of reason it is."""
    other = "not finite" if "not finite" in record["reason"] else "too long"
    kinds = {None: "not rendered", 0: "no tokens"}
    return f"{kinds.get(record['response_tokens'], other)}: {pair}: {record['reason']}"


def columns_of(decided: Mapping[Stage, Decision]) -> dict[str, Cell]:
    """Return a row's cells of `COLUMNS`."""
    cells: dict[str, Cell] = {}
    for stage, decision in decided.items():
        cells |= {f"{SCORES[stage]}_old": decision.old, f"{SCORES[stage]}_new": decision.new}
        cells |= {f"{stage}_selected": decision.selected, f"{stage}_not_scored": decision.reason or None}
    return cells


def in_words(stage: Stage, decided: Mapping[Stage, Decision]) -> str:
    """Say what was decided about a stage's texts; "" where nothing was."""
    if stage not in decided:
        return ""
    decision = decided[stage]
    if decision.selected is None:
        return f" and not scored ({decision.reason})"
    what = "kept" if decision.selected else "turned down"
    return f" and {what} ({SCORES[stage]}_ppl {decision.new:.4g}, was {decision.old:.4g})"


def with_decisions(told: Told, student: Student, stages: Sequence[Stage], mended: Sequence[Mended]) -> Told:
    """Add what was decided: by stage, proposed = kept + turned down + not scored, and the scores."""
    from tunescope.models import describe
    from tunescope.stats import mean_bootstrap, proportion_from_counts

    model = describe(student.settings)
    result: dict[str, Any] = {}
    counted, scored, reasons = [], [], []
    for stage in stages:
        rows = [m.columns for m in mended if m.columns.get(f"{stage}_status") == "ok"]
        decided = Counter(columns[f"{stage}_selected"] for columns in rows)
        because = [columns[f"{stage}_not_scored"] for columns in rows if columns[f"{stage}_selected"] is None]
        why = Counter(str(reason).partition(":")[0] for reason in because)
        kept, turned_down, not_scored = (decided[answer] for answer in (True, False, None))
        share = proportion_from_counts(kept, kept + turned_down, not_scored)
        result[f"{stage}_selection"] = {
            "proposed": len(rows),
            "kept": kept,
            "turned_down": turned_down,
            "not_scored": not_scored,
            "not_scored_by": dict(sorted(why.items())),
            "share_kept": share.as_json("share"),
        }
        known = (percent(share.value, 0), interval(share.low, share.high))
        counted.append((stage, len(rows), kept, turned_down, not_scored, *known))
        reasons += [(stage, reason, count) for reason, count in why.most_common()]
        for which in ("old", "new"):
            name = f"{SCORES[stage]}_{which}"
            values = [m.columns.get(name) for m in mended]
            mean = mean_bootstrap([value if isinstance(value, float) else None for value in values])
            result[name] = mean.as_json()
            scored.append((name, mean.value, interval(mean.low, mean.high), mean.n, mean.n_missing))
    tables = [
        Table(
            "What the student keeps",
            ("stage", "proposed", "kept", "turned down", "not scored", "share kept", "95 % interval"),
            tuple(counted),
            "Kept: new instructions whose IFD rises, new responses whose r-IFD falls; what isn't scored isn't taken.",
        ),
        Table(
            "The student's scores",
            ("", "mean", "95 % interval", "n", "n_missing"),
            tuple(scored),
            f"Means of ratios of perplexities by {model}, before and after each stage, of what was proposed; 95 % "
            "intervals: percentile bootstrap.",
        ),
    ]
    if reasons:
        tables.append(Table("Not scored", ("stage", "reason", "rows"), tuple(reasons)))
    sentences = (f"The student that decides is {model}.", *told.sentences)
    result = {**told.result, "student": model, **result}
    return told._replace(result=result, sentences=sentences, tables=(*told.tables, *tables))
