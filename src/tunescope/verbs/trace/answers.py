"""Tracing many answers: spans with their rows, what chance explains, and which rows were borrowed from most."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from tunescope import runs
from tunescope.answers import Answer, holds_answers, read_answers
from tunescope.errors import RunError, SettingsError
from tunescope.matching.word_ids import Query, split_words, word_offsets
from tunescope.progress import say
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.trace import null, paper_measures, view
from tunescope.verbs.trace.find import Finder, Found, Reference, covered
from tunescope.verbs.trace.index import Index, IndexedRow
from tunescope.verbs.trace.rank import Candidate, Embed, rank
from tunescope.verbs.trace.records import Known, span_record
from tunescope.verbs.trace.spans import spans

if TYPE_CHECKING:
    from tunescope.verbs.trace import TraceSettings

ENOUGH = 200
"""Texts of a reference, of enough words, from which on it is a null of its own; fewer say only what is common."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What is traced, and what it is compared with.

    Attributes:
        answers: the answers.
        reference: (prompt, text) of each text of the reference; empty without one.
        reference_name: what it is called.
        tokens: the tokens of a `shift` run, by answer.
        inputs: what was named → its content.
    """

    answers: list[Answer]
    reference: list[tuple[str, str]]
    reference_name: str
    tokens: Mapping[str, Tokens]
    inputs: Mapping[str, str]

    @classmethod
    def of(cls, settings: TraceSettings) -> Sources:
        """Read answers, reference and shift run.

        Raises:
            InputError, RunError, SettingsError: what can't be read, or doesn't belong together.
        """
        from tunescope.rows.containers import content_hash
        from tunescope.verbs.trace import folder_of

        assert settings.answers is not None
        path = folder_of(settings.answers, "answers.jsonl")
        answers = list(read_answers(path))
        if not answers:
            raise SettingsError(f"{path}: found no answers; expected at least one")
        inputs = {settings.answers: content_hash(path)}
        name = settings.reference or _own_base(path, answers)
        reference: list[tuple[str, str]] = []
        if name is not None:
            own = Path(name) / "answers.jsonl"
            reference, inputs[f"reference {name}"] = _texts(str(own) if own.is_file() else name)
            if not any(split_words(text) for _, text in reference):
                raise SettingsError(f"--reference {name} holds no word; expected answers, or rows, with text")
        tokens: Mapping[str, Tokens] = {}
        if settings.shift is not None:
            run = Run(Path(settings.shift))
            tokens = _tokens(run, answers)
            inputs[f"shift {settings.shift}"] = run.key
        if settings.embedder is not None:
            from tunescope.models.embedder import embedder_hash

            inputs[f"embedder {settings.embedder}"] = embedder_hash(settings.embedder)
        return cls(answers, reference, name or "", tokens, inputs)


def _own_base(path: Path, answers: Sequence[Answer]) -> str | None:
    """Return the run with the base model's own answers to the same prompts, decoded alike, where there is one."""
    tuned = runs.producing_run(answers[0].model) if runs.producing_run(path) is not None and answers[0].model else None
    if tuned is None or tuned.verb != "tune":
        return None
    asked = {(answer.prompt_id, answer.turn) for answer in answers}
    decoding = dict(answers[0].decoding)
    for run in runs.finished_runs():
        if run.verb != "answer" or run.settings["model"] != tuned.settings["model"]:
            continue
        base = list(read_answers(run.path / "answers.jsonl"))
        if asked <= {(a.prompt_id, a.turn) for a in base} and dict(base[0].decoding) == decoding:
            say(f"reference: {run.path}, the answers of {run.settings['model']} itself")
            return str(run.path)
    return None


def _texts(name: str) -> tuple[list[tuple[str, str]], str]:
    """Read a reference, answers or rows: (prompt, text) of each, and the hash of it all."""
    from tunescope.rows import open_rows
    from tunescope.rows.containers import content_hash

    if holds_answers(name):
        return [(_prompt(answer), answer.text) for answer in read_answers(name)], content_hash(Path(name))
    rows = open_rows([name])
    return [(row.instruction, row.response) for row in rows], " ".join(rows.inputs.values())


def _prompt(answer: Answer) -> str:
    return "\n".join(message.content or "" for message in answer.messages)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one answer, as `shift` found them."""

    ends: np.ndarray[Any, Any]
    classes: np.ndarray[Any, Any]
    log_ratio: np.ndarray[Any, Any]

    def within(self, begin: int, end: int, usual: float) -> dict[str, Any] | None:
        """Summarise the tokens that reach into a stretch of characters; None where there are none."""
        starts = np.concatenate([[0], self.ends[:-1]])
        inside = (self.ends > begin) & (starts < end)
        count = int(inside.sum())
        if not count:
            return None
        shifted, marginal = (int((self.classes[inside] == name).sum()) for name in ("shifted", "marginal"))
        return {
            "n_tokens": count,
            "shifted": shifted,
            "marginal": marginal,
            "mean_log_ratio": round(float(self.log_ratio[inside].mean()), 4),
            "above_average": (shifted + marginal) / count > usual,
        }


def _tokens(run: Run, answers: Sequence[Answer]) -> dict[str, Tokens]:
    if run.verb != "shift":
        raise SettingsError(f"--shift {run.path} is a run of {run.verb}; expected one of shift")
    if "tokens" not in run.tables:
        raise RunError(f"--shift {run.path}: found no table tokens; remove the folder and run shift again")
    table = run.tables["tokens"]
    idents, *parts = (np.array(table[name].to_pylist()) for name in ("answer_id", "char_end", "class", "log_ratio"))
    edges = [0, *(np.flatnonzero(idents[1:] != idents[:-1]) + 1), len(idents)]  # sorted by answer
    found = {
        str(idents[first]): Tokens(*(part[first:last] for part in parts))
        for first, last in pairwise(edges)
        if first < last
    }
    if not any(answer.answer_id in found for answer in answers):
        raise RunError(f"--shift {run.path} holds none of the answers; run shift on the same answers")
    return found


def trace_answers(settings: TraceSettings, sources: Sources, index: Index, folder: RunFolder) -> Outcome:
    """Write spans, rows and summaries of all answers."""
    judge, reference = _null(sources, index)
    threshold = judge.threshold(settings.flagged)
    expected = judge.flagged_words(threshold)
    share = float(expected.sum() / max(int(judge.null.lengths.sum()), 1))
    known = Known(
        index, judge.null.source, {"flagged": settings.flagged, "threshold_bits": threshold, "top": settings.top}
    )
    usual = _usual(sources.tokens)
    embed = _embedder(settings.embedder)
    lines: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    named: dict[str, Candidate] = {}
    likeliest: Counter[str] = Counter()
    borrowed: Counter[str] = Counter()
    borrowed_bits: dict[str, float] = defaultdict(float)
    for answer, found in zip(sources.answers, _found(settings, sources, index, reference), strict=True):
        words = len(found.query)
        if not words:
            lines.append({"answer_id": answer.answer_id, "prompt_id": answer.prompt_id, "reason": "no words"})
            continue
        spots, p = word_offsets(answer.text), judge.p(found.score, words)
        own = []
        for span in spans(found, threshold):
            begin, end = spots[span.begin][0], spots[span.end - 1][1]
            ranked = rank(index, found.chains, span.chains, answer.prompt, answer.text[begin:end], embed)
            tokens = sources.tokens.get(answer.answer_id)
            shift = tokens.within(begin, end, usual) if tokens is not None else None
            chance = float(p[span.chains[0]])
            own.append(
                span_record(
                    known, answer.answer_id, answer.text, spots, found, span, chance, ranked, settings.top, shift
                )
            )
            named |= {each.row.row_id: each for each in ranked[: settings.top]}
            likeliest[ranked[0].row.row_id] += 1
            for ident in ranked[0].group:  # whoever drops a row must drop its copies
                borrowed[ident] += 1
                borrowed_bits[ident] += float(found.score[span.chains[0]])
        good = found.score >= threshold
        flagged = int(covered(found.chains.begin[good], found.chains.end[good], words).sum())
        lines.append(
            {
                "answer_id": answer.answer_id,
                "prompt_id": answer.prompt_id,
                "tokens": words,
                "flagged": flagged,
                "expected": round(share * words, 3),
                "excess": round(flagged - share * words, 3),
                "p": float(p.min()) if len(p) else 1.0,
                "spans": len(own),
                **paper_measures.compare(answer, own, named, index, embed),
                "reason": None,
            }
        )
        records += own
    folder.records("spans", records)
    folder.records("answers", (answer.as_json() for answer in sources.answers))
    folder.records("rows", (_row(named[ident].row) for ident in sorted(named)))
    folder.table("answers", _table(lines))
    folder.table("rows", _row_table(index, borrowed, borrowed_bits))
    return view.many(
        settings, sources, index, judge, threshold, expected, lines, records, likeliest, borrowed_bits, folder
    )


def _null(sources: Sources, index: Index) -> tuple[null.Judge, Reference | None]:
    """Return what to judge by, and what is common.

    Raises:
        SettingsError: no text to judge by.
    """
    chance, reference = _chance(sources, index)
    if not len(chance):
        raise SettingsError(
            f"nothing says what chance explains: found {chance.source}, none of {null.SHORTEST} words or more; "
            f"type --reference ANSWERS with at least {ENOUGH} such texts that never saw the rows"
        )
    return chance.judge(), reference


def _chance(sources: Sources, index: Index) -> tuple[null.Null, Reference | None]:
    if not sources.reference:
        return null.load(index.path), None
    prompts, texts = ([index.numbering.look_up(text) for text in side] for side in zip(*sources.reference, strict=True))
    reference = Reference.of(sources.reference_name, texts, index)
    if sum(len(text) >= null.SHORTEST for text in texts) >= ENOUGH:
        return null.of_reference(sources.reference_name, texts, prompts, index), reference
    return null.leave_one_out(index, reference), reference


def _found(settings: TraceSettings, sources: Sources, index: Index, reference: Reference | None) -> Iterator[Found]:
    finder = Finder(index, reference, compile=True)
    queries: list[Query] = [index.numbering.look_up(answer.text) for answer in sources.answers]
    prompts = [index.numbering.look_up(_prompt(answer)) for answer in sources.answers]
    if settings.stream or index.order is None:
        yield from finder.stream(queries, prompts)
    else:
        yield from (finder.find(query, prompt) for query, prompt in zip(queries, prompts, strict=True))


def _usual(tokens: Mapping[str, Tokens]) -> float:
    """Return the share of shifted and marginal tokens over all answers."""
    if not tokens:
        return 0.0
    classes = np.concatenate([part.classes for part in tokens.values()])
    return float((classes != "unshifted").mean())


def _embedder(name: str | None) -> Embed | None:
    if name is None:
        return None
    from tunescope.models.embedder import Embedder

    embedder = Embedder(name)
    return lambda texts: embedder.embed(texts).vectors


def _row(row: IndexedRow) -> dict[str, Any]:
    return {
        "row_id": row.row_id,
        "origin": row.origin,
        "file": row.file,
        "line": row.line,
        "fields": dict(row.texts),
        "lineage": list(row.lineage),
    }


def _table(lines: Sequence[Mapping[str, Any]]) -> Any:
    import pyarrow as pa

    kinds = {
        "answer_id": pa.string(),
        "prompt_id": pa.string(),
        "tokens": pa.int32(),
        "flagged": pa.int32(),
        "expected": pa.float64(),
        "excess": pa.float64(),
        "p": pa.float64(),
        "spans": pa.int32(),
        **{name: pa.float64() for name in paper_measures.COLUMNS},
        "reason": pa.string(),
    }
    return pa.table({name: pa.array([line.get(name) for line in lines], kind) for name, kind in kinds.items()})


def _row_table(index: Index, borrowed: Counter[str], bits: Mapping[str, float]) -> Any:
    """Return all rows: in how many spans each, or one like it, is the likeliest; and as many others as control."""
    import pyarrow as pa

    rows = [(row.row_id, row.origin, row.file, row.line) for row in index.rows()]
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    others = [ident for ident in columns[0] if not borrowed[ident]]
    control = set(Random(0).sample(others, min(len(others), len(borrowed))))
    return pa.table(
        {
            "row_id": pa.array(columns[0], pa.string()),
            "origin": pa.array(columns[1], pa.string()),
            "file": pa.array(columns[2], pa.string()),
            "line": pa.array(columns[3], pa.int64()),
            "borrowed": pa.array([borrowed[ident] for ident in columns[0]], pa.int32()),
            "borrowed_bits": pa.array([bits.get(ident, 0.0) for ident in columns[0]], pa.float64()),
            "control": pa.array([int(ident in control) for ident in columns[0]], pa.int32()),
        }
    )
