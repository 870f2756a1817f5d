"""What `attribute` and `attribute index` are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.models.embedded import EMBEDDER, EMBEDDERS
from tunescope.runs import INPUT, NOT_IN_KEY
from tunescope.settings import POSITIONAL, RowsSettings, at_least


@dataclass(frozen=True, kw_only=True)
class WordsSettings(RowsSettings):
    """What the index of the rows' words depends on."""

    out: str | None = runs.out_field()
    """The run folder."""


@dataclass(frozen=True, kw_only=True)
class AttributeIndexSettings(RowsSettings):
    """Index rows for attribution: their words and their meaning."""

    embedder: str = field(default=EMBEDDER, metadata=INPUT)
    """The embedder for the rows' meaning: an embedded name, a folder or a sentence-transformers id; none leaves it
    out."""

    workers: int = field(default=1, metadata={**NOT_IN_KEY, **at_least(1)})
    """Processes that embed rows side by side."""

    out: str | None = runs.out_field()
    """The run folder; runs/attribute-index-KEY by default."""


@dataclass(frozen=True, kw_only=True)
class AttributeSettings(RowsSettings):
    """Find the rows that taught a model an answer."""

    rows: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """The row files that the model was tuned on: paths, globs, - for a pipe, or a Hugging Face data set."""

    text: str | None = field(default=None, metadata={**INPUT, "hyphen": True})
    """The answer, or the wrong sentence in it; - for a pipe."""

    prompt: str | None = field(default=None, metadata={**INPUT, "hyphen": True})
    """The question that --text answers."""

    answers: str | None = field(default=None, metadata=INPUT)
    """Answers: a run folder of `answer` or `shift`, or a file of answers (ours or AlpacaEval's)."""

    embedder: str | None = field(default=None, metadata=INPUT)
    """Find rows by meaning with this embedder (as for `attribute index`), or none. By default all-minilm-l6-v2 where it
    is in the cache and the rows are indexed with it, or are at most 500."""

    workers: int = field(default=1, metadata={**NOT_IN_KEY, **at_least(1)})
    """Processes that embed rows side by side, where they aren't indexed yet."""

    top: int = field(default=10, metadata=at_least(1))
    """Rows to list per answer."""

    constant: int = field(default=10, metadata=at_least(0))
    """k of the joint order: the sum of 1 / (k + rank) over the kinds of evidence."""

    out: str | None = runs.out_field()
    """The run folder; runs/attribute-KEY by default."""


def validate(settings: AttributeSettings) -> None:
    """Check settings that don't depend on any file.

    Raises:
        SettingsError: neither or both of text and answers; an option that doesn't apply.
    """
    if settings.text is None and settings.answers is None:
        raise SettingsError(
            'found neither --text nor --answers; type --text "the wrong sentence" --prompt "the question", or '
            "--answers FILE"
        )
    if settings.text is not None and settings.answers is not None:
        raise SettingsError("found both --text and --answers; expected one of them")
    if settings.prompt is not None and settings.text is None:
        raise SettingsError("--prompt needs --text; a file of --answers has its prompts")
    if settings.text == "-" and "-" in settings.rows:
        raise SettingsError("both the rows and --text are read from a pipe; write one of them to a file")
    validate_embedder(settings.embedder)


def validate_embedder(embedder: str | None) -> None:
    """Check the name of an embedder.

    Raises:
        SettingsError: an empty name.
    """
    if embedder is not None and not embedder.strip():
        raise SettingsError(f"--embedder is empty; there is {', '.join(EMBEDDERS)}, or none")
