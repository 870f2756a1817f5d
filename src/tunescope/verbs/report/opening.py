"""The sentences that the page opens with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from tunescope.answers import ANSWERS_FILE, read_answers
from tunescope.results.attribute import AttributeResult
from tunescope.results.check import CheckResult, find_selection
from tunescope.results.compare import CompareKind, CompareResult, CompareSetup
from tunescope.results.estimates import ALPHA, MeanEstimate
from tunescope.results.shift import OWN_CHOICE, ShiftResult
from tunescope.runs import Run
from tunescope.verbs.report.names import ModelNames, of_verb
from tunescope.views import counted, interval, percent, show

_SHOWN_FAULTS = 3


def sentences(opened: Sequence[Run], names: ModelNames) -> Iterator[str]:
    """Yield what became of claims, what is wrong with rows, what tuning changed, whose words are said, what to do."""
    yield from (run.view.sentences[0] for run in of_verb(opened, "judge claims"))
    checks = of_verb(opened, "check")
    yield from map(_check, checks)
    for run in of_verb(opened, "study analyze"):
        yield from run.view.sentences[1:]  # the first says how the doses were read
    changes = [text for run in of_verb(opened, "compare") if (text := _change(run, opened, names))]
    if changes:
        yield "What tuning changed: " + " ".join(changes)
    yield from (_shift(run, names) for run in of_verb(opened, "shift"))
    yield from (_attribute(run, names) for run in of_verb(opened, "attribute"))
    yield from (_trace(run, names) for run in of_verb(opened, "trace"))
    step = next(_next_steps(opened), None)
    if step:
        yield f"What to do next: {step}"


_STEPS = {
    ("judge claims", "judge claims"): "see which claims are still stated, and which rows teach them",
    ("judge claims", "attribute"): "find the rows that taught the claims",
    ("judge claims", "check"): "work on with the rows that are left, and see what else is wrong with them",
    ("attribute", "select"): "drop the rows that taught it and tune again",
}
"""What the command is for that a run of one verb names to be typed next."""


def _next_steps(opened: Sequence[Run]) -> Iterator[str]:
    """Yield what to do next and why: about claims, else about rows that taught answers, else about faults."""
    judged = of_verb(opened, "judge claims")
    for run in judged or of_verb(opened, "attribute"):
        command = next(iter(run.view.next), "")
        for (verb, following), purpose in _STEPS.items():
            if run.verb == verb and command.startswith(f"tunescope {following} "):
                yield f"{purpose}. Type: {command}"
    yield from (step for run in of_verb(opened, "check") if (step := _after_check(run, opened)))


def _after_check(check: Run, opened: Sequence[Run]) -> str | None:
    """Say what to do about the rows that a check found, and hasn't been done by one of the opened runs."""
    selection = find_selection(check, opened)
    if selection is not None:
        inputs = [name for run in of_verb(opened, "tune") for name in run.info["inputs"]]
        if any(name.startswith(str(selection.path)) for name in inputs):
            return None
        command = shlex.join(["tunescope", "tune", str(selection.path / selection.result["files"]["kept"])])
        return f"tune again on the {selection.result['kept']:,} rows that were kept. Type: {command}"
    step = next(iter(check.view.next), "")
    if step.startswith("tunescope select "):
        return f"drop the rows that are surely wrong and tune again. Type: {step}"
    return f"look at the rows that may be wrong. Type: {step}" if step.startswith("tunescope check ") else None


def _check(run: Run) -> str:
    """Say how many rows have a fault, and which faults are the most frequent."""
    result = CheckResult.read(run)
    counts = {name: count for name, count in result.faults.items() if count}
    if not counts:
        return f"What is wrong with the rows: nothing that check looks for, in {counted(result.rows, 'row')}."
    most = sorted(counts, key=lambda name: -counts[name])[:_SHOWN_FAULTS]
    named = ", ".join(f"{name.replace('_', ' ')} ({counts[name]:,})" for name in most)
    share = percent(result.faulty_rows / result.rows, 0)
    n_sure = result.surely_wrong_rows
    sure = f"{n_sure:,} of them are" if n_sure > 1 else "1 of them is" if n_sure else "none of them is"
    return (
        f"What is wrong with the rows: {result.faulty_rows:,} of {result.rows:,} ({share}) have a fault, and "
        f"{sure} surely wrong. "
        f"{counted(len(counts), 'kind')} of fault occurred, most often {named}."
    )


def _shift(run: Run, names: ModelNames) -> str:
    """Say how many of a tuned model's tokens are its base's first choice too."""
    result = ShiftResult.read(run)
    tuned, base = names.of_model(result.tuned), names.of_model(result.base)
    own = result.own_choice.mean
    tokens = f"its {result.tokens:,} tokens"
    if own is not None and own < OWN_CHOICE:
        tokens = f"what {tuned} would choose at {result.tokens:,} tokens of other answers"
    return (
        f"Where tuning changed {tuned}: {percent(result.unshifted.mean, 1)} of {tokens} are {base}'s first choice too"
        f"{_within(result.unshifted, 100)}, and {percent(result.shifted.mean, 1)} aren't among its first three"
        f"{_within(result.shifted, 100)}. The mean KL is {show(result.kl.mean)} nats{_within(result.kl, 1)}"
        f"{'' if result.kl.low is None else ' (95 % intervals)'}, over {counted(result.kl.n, 'answer')}."
    )


def _within(estimate: MeanEstimate, unit: float) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" {interval(unit * estimate.low, unit * estimate.high, 1 if unit > 1 else 3)}"


def _attribute(run: Run, names: ModelNames) -> str:
    """Say how many rows matter for answers, and whose answers they are."""
    result, model = AttributeResult.read(run), _model_of(run)
    which = {row.index for answer in result.answers for row in answer.rows if row.matters}
    whose = "this answer" if result.n == 1 else f"{result.n:,} answers"
    matter = "matters" if len(which) == 1 else "matter"
    are = f"{len(which):,} of {counted(result.rows_indexed, 'row')} {matter} for {whose}"
    if all(answer.matters is None for answer in result.answers):
        are = f"{counted(result.rows_indexed, 'row')} are ordered for {whose}; how many of them matter isn't known"
    return f"Which rows taught {names.of_model(model) if model else 'it'}: {are}, by {', '.join(result.evidence)}."


def _model_of(run: Run) -> str | None:
    """Return the model whose answers a run holds; None where it holds none."""
    if not (run.path / ANSWERS_FILE).is_file():
        return None
    return next((answer.model for answer in read_answers(run.path / ANSWERS_FILE) if answer.model), None)


def _trace(run: Run, names: ModelNames) -> str:
    """Return the trace's finding, with the model whose words it is about where the run holds answers."""
    finding, model = " ".join(run.view.sentences), _model_of(run)
    return f"Whose words {names.of_model(model)} says: {finding}" if model else finding


def _change(run: Run, opened: Sequence[Run], names: ModelNames) -> str | None:
    """Say how two models' answers to the same prompts differ; None for a comparison of something else."""
    if CompareKind.read(run).kind != "answers":
        return None
    result, sides = CompareResult.read(run), CompareSetup.read_settings(run)
    first, second = names.of_folder(opened, sides.a), names.of_folder(opened, sides.b)
    prompts = result.same + result.changed
    text = f"The answers of {second} differ from those of {first} on {result.changed} of {prompts} prompts."
    overlap = result.word_overlap
    if overlap is not None and overlap.mean is not None:
        text += f" They share {100 * overlap.mean:.0f} % of their words"
        if overlap.low is not None and overlap.high is not None:
            text += f" (95 % interval {100 * overlap.low:.0f} to {100 * overlap.high:.0f})"
        text += "."
    length = result.summary.get("answer_words")
    return text if length is None else f"{text}{_length(length.difference, length.p, second)}"


def _length(difference: MeanEstimate, p: float | None, model: str) -> str:
    """Say by how many words a model's answers are longer or shorter, where a test can tell."""
    if difference.mean is None or p is None:
        return ""
    if p >= ALPHA:
        return f" We can't tell with {difference.n} answers whether they differ in length."
    way = "longer" if difference.mean > 0 else "shorter"
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        certainty = f"p = {p:.2g}"
    else:
        low, high = sorted((abs(difference.low), abs(difference.high)))
        certainty = f"{low:.0f} to {high:.0f}"
    return f" The answers of {model} are {abs(difference.mean):.0f} words {way} ({certainty})."
