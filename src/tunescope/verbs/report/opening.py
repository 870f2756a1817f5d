"""The sentences that the page opens with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunescope.runs import Run
from tunescope.verbs.report.names import name_in, of_verb
from tunescope.views import percent

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
    for verb in ("shift", "trace"):
        for run in of_verb(opened, verb):
            yield from run.view.sentences[:1]
    steps = [step for run in of_verb(opened, "check") for step in run.view.next[:1]]
    if steps:
        yield f"What to do next: drop the faulty rows and tune again, with: {steps[0]}"


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
