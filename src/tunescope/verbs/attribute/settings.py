"""What `attribute` and `attribute index` are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.models.embedded import EMBEDDER, EMBEDDERS
from tunescope.models.settings import LoadSettings
from tunescope.oracle.api import refuse_secrets
from tunescope.runs import INPUT, NOT_IN_KEY
from tunescope.settings import POSITIONAL, EngineSettings, RowsSettings, above, at_least, group


@dataclass(frozen=True, kw_only=True)
class WordsSettings(RowsSettings):
    """What the index of the rows' words depends on."""

    out: str | None = runs.out_field()
    """The run folder."""


_GRADIENTS = group("Gradients")


@dataclass(frozen=True, kw_only=True)
class _EvidenceSettings(EngineSettings, LoadSettings):
    """What rows are found by, beside words."""

    base: str | None = field(
        default=None, metadata={**INPUT, **_GRADIENTS, "refuse": refuse_secrets, "near": ("model",)}
    )
    """The model that the tuned model was made from. Its gradients find more rows. An adapter or a tune run names it."""

    max_length: int | None = field(default=None, metadata={**INPUT, **_GRADIENTS, **at_least(1)})
    """Rows are cut after this many tokens; by default what the tune run says, or 1024."""

    layers: Literal["all", "top_third"] = field(default="top_third", metadata={**INPUT, **_GRADIENTS})
    """Layers whose gradients are taken: those of the third of the blocks that is nearest to the output (top_third), or
    all linear layers but the output layer (all), which takes twice the time."""

    sketch: int = field(default=8192, metadata={**INPUT, **_GRADIENTS, **at_least(1)})
    """Length of the sketch of a row's gradients."""

    seed: int = field(default=0, metadata={**INPUT, **_GRADIENTS})
    """Decides the random projections of the gradients."""

    plan: bool = field(default=False, metadata={**NOT_IN_KEY, "group": "Speed"})
    """Only estimate the minutes, memory and disk that the work would take, from a probe of a few seconds for each
    part."""


@dataclass(frozen=True, kw_only=True)
class AttributeIndexSettings(RowsSettings, _EvidenceSettings):
    """Index rows for attribution: their words, their meaning and, with --base, their gradients."""

    embedder: str = field(default=EMBEDDER, metadata=INPUT)
    """The embedder for the rows' meaning: an embedded model's name, a folder or a sentence-transformers id. With none,
    meaning isn't indexed."""

    out: str | None = runs.out_field()
    """The folder of the index of words; runs/attribute-index-KEY by default."""


@dataclass(frozen=True, kw_only=True)
class AttributeSettings(RowsSettings, _EvidenceSettings):
    """Find the rows that taught a model an answer."""

    rows: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """The row files that the model was tuned on: paths, globs, - for a pipe, or a Hugging Face data set."""

    text: str | None = field(default=None, metadata={**INPUT, "hyphen": True})
    """The answer, or the wrong sentence in it; - for a pipe."""

    prompt: str | None = field(default=None, metadata={**INPUT, "hyphen": True})
    """The question that --text answers."""

    answers: str | None = field(default=None, metadata=INPUT)
    """Answers: a run folder of `answer` or `shift`, or a file of answers (ours or AlpacaEval's)."""

    span: str | None = None
    """The stretch of --text to attribute, as START:END in characters; by default all of it."""

    spans: str | None = field(default=None, metadata=INPUT)
    """The stretches of --answers to attribute: a run of `judge claims`, or JSON lines with answer_id, start and end."""

    embedder: str | None = field(default=None, metadata=INPUT)
    """Find rows by meaning with this embedder (as for `attribute index`), or none. By default all-minilm-l6-v2, if it
    is in the cache and the rows are indexed with it or number at most 500."""

    tuned: str | None = field(default=None, metadata={**INPUT, **_GRADIENTS})
    """The tuned model: a tune run, a PEFT adapter or a model folder. With it, `effect` says what an answer would lose
    if a row were left out."""

    value: str | None = field(default=None, metadata={**INPUT, **_GRADIENTS})
    """Instead of attributing answers, say which rows it should help most to leave out. Takes a row file of held-out
    questions with their right answers, which is read like the rows. Needs --tuned. Weak evidence:
    docs/how-to/attribute.md says what it is worth."""

    candidates: int = field(default=3000, metadata={**_GRADIENTS, **at_least(1)})
    """If there are more rows than this, gradients are taken only for this many: those that come first by words and
    meaning."""

    top: int = field(default=10, metadata=at_least(1))
    """Number of rows to list per answer."""

    by_chance: float = field(default=1.0, metadata=above(0))
    """Expected number of chance hits per answer and kind of evidence. It sets the cut."""

    constant: int = field(default=10, metadata=at_least(0))
    """The k of the joint order, which is by the sum of 1 / (k + rank) over the kinds of evidence."""

    out: str | None = runs.out_field()
    """The run folder; runs/attribute-KEY by default."""


def validate(settings: AttributeSettings) -> None:
    """Check settings that don't depend on any file.

    Raises:
        SettingsError: none or several of text, answers and value; an option that doesn't apply.
    """
    validate_embedder(settings.embedder)
    if settings.value is not None:
        _validate_value(settings)
        return
    if settings.text is None and settings.answers is None:
        raise SettingsError(
            'found neither --text nor --answers; type --text "the wrong sentence" --prompt "the question", or '
            "--answers FILE, or --value HELDOUT --tuned RUN for the rows that harm held-out answers"
        )
    if settings.text is not None and settings.answers is not None:
        raise SettingsError("found both --text and --answers; expected one of them")
    if settings.prompt is not None and settings.text is None:
        raise SettingsError("--prompt needs --text; a file of --answers has its prompts")
    if settings.text == "-" and "-" in settings.rows:
        raise SettingsError("both the rows and --text are read from a pipe; write one of them to a file")
    if settings.span is not None and settings.text is None:
        raise SettingsError("--span needs --text; stretches of --answers are given as a file, with --spans")
    if settings.spans is not None and settings.answers is None:
        raise SettingsError("--spans needs --answers; the stretch of a --text is given with --span START:END")


def _validate_value(settings: AttributeSettings) -> None:
    """Check that --value comes with a tuned model and without answers."""
    for name in ("text", "prompt", "answers", "span", "spans"):
        if getattr(settings, name) is not None:
            raise SettingsError(f"found both --value and --{name}; --value has its own questions and answers")
    if settings.tuned is None:
        raise SettingsError(
            "--value needs the tuned model, whose gradients are compared with the base's; add --tuned with a tune run, "
            "a PEFT adapter or a model folder"
        )
    if settings.value == "-" and "-" in settings.rows:
        raise SettingsError("both the rows and --value are read from a pipe; write one of them to a file")


def validate_embedder(embedder: str | None) -> None:
    """Check the name of an embedder.

    Raises:
        SettingsError: an empty name.
    """
    if embedder is not None and not embedder.strip():
        raise SettingsError(f"--embedder is empty; there is {', '.join(EMBEDDERS)}, or none")
