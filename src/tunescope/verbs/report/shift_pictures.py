"""Pictures of token shift: its classes per model, KL by place in the sentence, and the words that shift most."""

from __future__ import annotations

from collections.abc import Sequence

from tunescope import stats
from tunescope.models.names import ModelNames
from tunescope.results.shift import CLASSES, ShiftResult, ShiftTokens
from tunescope.runs import Run
from tunescope.verbs.report.pictures import MOST_SERIES, Curve, Measured, Scale, lines, stacked

_COLOURS = ("var(--card)", "var(--marginal)", "var(--shifted)")
_PARTS = 10
"""Parts of a sentence that KL is drawn for."""
_MOST_WORDS = 15


def shift_pictures(runs: Sequence[Run], names: ModelNames) -> str:
    """Draw several models' shifts side by side."""
    labels = [names.of_model(ShiftResult.read(run).tuned) for run in runs]
    labels = [f"{n} ({run.path.name})" if labels.count(n) > 1 else n for n, run in zip(labels, runs, strict=True)]
    shares = []
    for label, run in zip(labels, runs, strict=True):
        result = ShiftResult.read(run)
        shares += [Measured(label, getattr(result, name).mean, series=name) for name in CLASSES]
    drawn = [stacked(shares, CLASSES, _COLOURS, Scale("share of tokens", "%", (0.0, 1.0)))]
    curves = [Curve(label, _by_place(run)) for label, run in zip(labels, runs, strict=True)]
    for at in range(0, len(curves), MOST_SERIES):
        drawn.append(lines(curves[at : at + MOST_SERIES], Scale("place in the sentence, %"), Scale("mean KL, nats")))
    drawn += [_words(label, run) for label, run in zip(labels, runs, strict=True)]
    return f'<div class="pictures">{"".join(drawn)}</div>'


def _by_place(run: Run) -> list[tuple[float, float]]:
    """Return (place in per cent, mean KL) over tenths of the sentences (the Limitations paper, section 4.2)."""
    tokens = ShiftTokens.read(run)
    lengths: dict[tuple[str, int], int] = {}
    keys = list(zip(tokens.answer_id, tokens.sentence, strict=True))
    for key in keys:
        lengths[key] = lengths.get(key, 0) + 1
    seen: dict[tuple[str, int], int] = {}
    parts: list[list[float]] = [[] for _ in range(_PARTS)]
    for key, kl in zip(keys, tokens.kl, strict=True):
        place = seen[key] = seen.get(key, -1) + 1
        parts[place * _PARTS // lengths[key]].append(kl)
    means = [stats.mean_t(part).value if part else None for part in parts]
    return [(100 * (n + 0.5) / _PARTS, mean) for n, mean in enumerate(means) if mean is not None]


def _words(label: str, run: Run) -> str:
    """Draw the words that stand at shifted and marginal tokens most often."""
    frequent = ShiftResult.read(run).words.frequent[:_MOST_WORDS]
    counts = [Measured(word.word, getattr(word, name), series=name) for word in frequent for name in CLASSES[1:]]
    return stacked(counts, CLASSES[1:], _COLOURS[1:], Scale(f"times in the answers of {label}"))
