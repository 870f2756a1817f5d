"""The sentences that the page opens with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunescope.results.estimates import MeanEstimate
from tunescope.results.shift import OWN_CHOICE, ShiftResult
from tunescope.runs import Run
from tunescope.verbs.report.names import name_in, name_of, of_verb
from tunescope.views import interval, percent, show

SHOWN_FAULTS = 3


def sentences(opened: Sequence[Run]) -> Iterator[str]:
    """Yield what is wrong, what tuning changed token by token, whose words it says, what to do next."""
    for run in of_verb(opened, "check"):
        counts = {name: n for name, n in run.result["faults"].items() if n}
        if counts:
            worst = sorted(counts, key=lambda name: -counts[name])[:SHOWN_FAULTS]
            named = ", ".join(f"{name.replace('_', ' ')} {counts[name]:,}" for name in worst)
            share = percent(run.result["faulty_rows"] / run.result["rows"], 0)
            yield (
                f"What is wrong in the rows: {run.result['faulty_rows']:,} of {run.result['rows']:,} ({share}) "
                f"have a fault, of {len(counts)} kinds; most often {named}."
            )
        else:
            yield f"What is wrong in the rows: none of {run.result['rows']:,} shows a fault of those looked for."
    for run in of_verb(opened, "study analyze"):
        yield from run.view.sentences[1:]  # the first says how the doses were read
    changes = [text for run in of_verb(opened, "compare") if (text := _change(run, opened))]
    if changes:
        yield "What tuning changed: " + "; ".join(changes) + "."
    for run in of_verb(opened, "shift"):
        yield _shift(run)
    for run in of_verb(opened, "trace"):
        yield _trace(run)
    steps = [step for run in of_verb(opened, "check") for step in run.view.next[:1]]
    if steps:
        yield f"What to do next: drop the faulty rows and tune again, with: {steps[0]}"


def _shift(run: Run) -> str:
    """Say how many of a tuned model's tokens its base would have chosen too."""
    result = ShiftResult.read(run)
    tuned, base = name_of(result.tuned), name_of(result.base)
    own = result.own_choice.mean
    tokens = f"its {result.tokens:,} tokens"
    if own is not None and own < OWN_CHOICE:
        tokens = f"what {tuned} would choose at {result.tokens:,} tokens of other answers"
    return (
        f"Where tuning changed {tuned}: {percent(result.unshifted.mean, 1)} of {tokens} are {base}'s first choice too"
        f"{_within(result.unshifted, 100)}, and {percent(result.shifted.mean, 1)} aren't among its first three"
        f"{_within(result.shifted, 100)}. The mean KL is {show(result.kl.mean)} nats{_within(result.kl, 1)}. The "
        f"intervals are 95 %, over {result.kl.n} answers."
    )


def _within(estimate: MeanEstimate, unit: float) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" {interval(unit * estimate.low, unit * estimate.high, 1 if unit > 1 else 3)}"


def _trace(run: Run) -> str:
    """Say whose words a model's answers hold, and how many by chance."""
    said = run.view.sentences[0]
    if not (run.path / "answers.jsonl").is_file():
        return said
    model = next((record["model"] for record in run.records("answers") if record["model"]), None)
    return f"Whose words {name_of(model)} says: {said}" if model else said


def _change(run: Run, opened: Sequence[Run]) -> str | None:
    result = run.result
    if result["kind"] != "answers":
        return None
    names = [name_in(opened, run.settings[side]) for side in ("a", "b")]
    pairs = result["same"] + result["changed"]
    overlap = result["word_overlap"]
    text = f"{names[1]} answers {result['changed']} of {pairs} prompts otherwise than {names[0]}"
    details = []
    if overlap["mean"] is not None:
        low, high = (f"{100 * overlap[end]:.0f}" if overlap[end] is not None else "–" for end in ("low", "high"))
        details.append(f"the two share {100 * overlap['mean']:.0f} % of their words, 95 % interval {low} to {high}")
    length = result["summary"].get("answer_words", {}).get("difference", {})
    if length.get("low") is not None:
        way = "longer" if length["mean"] > 0 else "shorter"
        low, high = sorted((abs(length["low"]), abs(length["high"])))
        if length["low"] <= 0 <= length["high"]:
            details.append("no difference in length that so few answers could show")
        else:
            details.append(f"answers are {abs(length['mean']):.0f} words {way}, {low:.0f} to {high:.0f}")
    return f"{text} ({'; '.join(details)})" if details else text
