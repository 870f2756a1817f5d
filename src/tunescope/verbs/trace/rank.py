"""Rank the rows that a span may come from: by bits first, then by field, prompt and meaning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import MissingPackageError
from tunescope.matching.chains import SKIP_BITS, Chains
from tunescope.matching.word_ids import folded_words
from tunescope.verbs.trace.index import Index, IndexedRow

_FIELD_ORDER = {"response": 0, "instruction": 2}
"""Models are trained on responses; instructions they only read. Other fields are 1."""
_DUPLICATE_JACCARD = 0.8
"""Jaccard similarity of two rows' sets of words from which on they are one group."""
Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts → their unit embeddings [texts, dimensions]."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that shares a chain of words with an answer.

    Attributes:
        chain: the chain's number.
        text: the number of the row's text in the index.
        row: the row itself.
        field: the name of the text.
        bits: the chain's.
        prompt_bm25: BM25 of the prompt and the row's instruction among the candidates; None without a prompt.
        cosine: of the embeddings of prompt and answer and of instruction and response; None without an embedder.
        group: the ids of the candidates that are near-duplicates of this row, its own first.
    """

    chain: int
    text: int
    row: IndexedRow
    field: str
    bits: float
    prompt_bm25: float | None = None
    cosine: float | None = None
    group: tuple[str, ...] = ()


def rank(
    index: Index, chains: Chains, numbers: Sequence[int], prompt: str, passage: str, embed: Embed | None = None
) -> list[Candidate]:
    """Rank the rows of some chains; return one candidate per group of near-duplicates, the top source first.

    Chains within `SKIP_BITS` (one skipped word) of each other count as equal. Among these, responses come before
    instructions, then rows whose instruction is more like the prompt.

    Args:
        index: the rows.
        chains: the answer's chains.
        numbers: which of them to rank.
        prompt: the answer's prompt; empty without one.
        passage: the span's text.
        embed: ranks by meaning too.
    """
    candidates = _best_per_row(index, chains, numbers)
    candidates = _with_bm25(candidates, prompt)
    candidates = _with_cosine(candidates, f"{prompt}\n{passage}", embed)
    top_bits = max((candidate.bits for candidate in candidates), default=0.0)
    candidates.sort(
        key=lambda c: (
            int((top_bits - c.bits) // SKIP_BITS),
            _FIELD_ORDER.get(c.field.partition(" ")[0], 1),
            -(c.prompt_bm25 or 0.0),
            -(c.cosine or 0.0),
            -c.bits,
        )
    )
    return _group(index, candidates)


def _best_per_row(index: Index, chains: Chains, numbers: Sequence[int]) -> list[Candidate]:
    """Return a candidate per row, of its chain with the most bits."""
    best: dict[int, Candidate] = {}
    for number in numbers:
        text = int(chains.text[number])
        owner, bits = int(index.owners[text]), float(chains.bits[number])
        if owner not in best or bits > best[owner].bits:
            row, field = index.field(text)
            best[owner] = Candidate(number, text, row, field.field, bits)
    return list(best.values())


def _with_bm25(candidates: list[Candidate], prompt: str) -> list[Candidate]:
    prompt_words = folded_words(prompt)
    if not prompt_words or not candidates:
        return candidates
    try:
        import bm25s
    except ModuleNotFoundError as error:
        raise MissingPackageError("bm25s", "trace", "ranking rows by their prompts") from error
    documents = [folded_words(c.row.text("instruction")) or [""] for c in candidates]
    model = bm25s.BM25(backend="numpy")
    model.index(documents, show_progress=False)
    in_vocabulary = [word for word in prompt_words if word in model.vocab_dict]
    scores = model.get_scores(in_vocabulary) if in_vocabulary else np.zeros(len(candidates))
    return [replace(c, prompt_bm25=round(float(score), 4)) for c, score in zip(candidates, scores, strict=True)]


def _with_cosine(candidates: list[Candidate], passage: str, embed: Embed | None) -> list[Candidate]:
    if embed is None or not candidates:
        return candidates
    vectors = embed([passage, *(f"{c.row.text('instruction')}\n{c.row.text('response')}" for c in candidates)])
    return [replace(c, cosine=round(float(v @ vectors[0]), 4)) for c, v in zip(candidates, vectors[1:], strict=True)]


def _group(index: Index, candidates: list[Candidate]) -> list[Candidate]:
    """Keep the first candidate of each group of near-duplicates, with the ids of its group."""
    kept: list[tuple[Candidate, set[int]]] = []
    groups: list[list[str]] = []
    for candidate in candidates:
        words = set(index.words_of(int(index.owners[candidate.text])).tolist())
        group = next(
            (n for n, (_, other) in enumerate(kept) if len(words & other) >= _DUPLICATE_JACCARD * len(words | other)),
            None,
        )
        if group is None:
            kept.append((candidate, words))
            groups.append([candidate.row.row_id])
        else:
            groups[group].append(candidate.row.row_id)
    return [replace(c, group=tuple(ids)) for (c, _), ids in zip(kept, groups, strict=True)]
