"""What `trace` and `trace index` are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.runs import INPUT, NOT_IN_KEY
from tunescope.settings import POSITIONAL, EngineSettings, RowsSettings, above, at_least


@dataclass(frozen=True, kw_only=True)
class IndexSettings(RowsSettings):
    """Index rows for tracing: their words, a suffix array, and the null distribution."""

    out: str | None = runs.out_field()
    """The run folder; runs/trace-index-KEY by default."""


@dataclass(frozen=True, kw_only=True)
class TraceSettings(EngineSettings, RowsSettings):
    """Find the rows that a text's words come from."""

    rows: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Row files (paths, globs, - for a pipe, a Hugging Face data set), or the folder of a `trace index` run."""

    text: str | None = field(default=None, metadata={**INPUT, "hyphen": True})
    """A sentence to trace, or - for a pipe."""

    answers: str | None = field(default=None, metadata=INPUT)
    """Answers to trace: a run folder of `answer` or `shift`, or a file of answers (ours or AlpacaEval's)."""

    reference: str | None = field(default=None, metadata=INPUT)
    """Answers (or rows) by a model that never saw the rows. By default the base model's own answers, if a run has
    them."""

    shift: str | None = field(default=None, metadata=INPUT)
    """A run folder of `shift` on the same answers. Its tokens are joined to the spans."""

    false_positive_rate: float | None = field(
        default=None, metadata={**above(0, below=1, hint="such as 0.01"), "alias": ("flagged",)}
    )
    """The share of the null texts' words that may be flagged. It sets the threshold. By default 0.01 if a reference is
    the null, and 0.025 if the rows are, because rows share more with each other than other texts do."""

    top: int = field(default=5, metadata=at_least(1))
    """Number of rows to list per span."""

    embedder: str | None = field(default=None, metadata=INPUT)
    """Also rank rows by meaning, with this embedder (an embedded model's name, a folder or a sentence-transformers
    id)."""

    workers: int = field(default=1, metadata={**NOT_IN_KEY, **at_least(1)})
    """With --stream: number of processes that read the rows in parallel."""

    stream: bool = field(default=False, metadata=NOT_IN_KEY)
    """Read all rows once for all answers, instead of looking up each answer in the suffix array. The result is the
    same."""

    out: str | None = runs.out_field()
    """The run folder; runs/trace-KEY by default."""


def validate(settings: TraceSettings) -> None:
    """Check settings that don't depend on any file.

    Raises:
        SettingsError: neither or both of text and answers; an option that doesn't apply.
    """
    if settings.text is None and settings.answers is None:
        raise SettingsError('found neither --text nor --answers; type --text "a sentence" or --answers FILE')
    if settings.text is not None and settings.answers is not None:
        raise SettingsError("found both --text and --answers; expected one of them")
    if settings.text == "-" and "-" in settings.rows:
        raise SettingsError("both the rows and --text are read from a pipe; write one of them to a file")
    if settings.text is not None:
        for name in ("reference", "shift", "embedder"):
            if getattr(settings, name) is not None:
                raise SettingsError(f"--{name} needs --answers; a single --text is traced without it")
    if not settings.is_here and not (settings.stream and settings.answers):
        raise SettingsError("--engine and --workers are for --answers with --stream: look-ups in the index are quick")
    if settings.embedder is not None and not settings.embedder.strip():
        from tunescope.models.embedded import EMBEDDERS

        raise SettingsError(f"--embedder is empty; there is {', '.join(EMBEDDERS)}")
