"""Which rows a span most likely came from: chain bits first, then field, prompt and meaning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import MissingPackageError
from tunescope.matching.chains import SKIP_BITS, Chains
from tunescope.matching.word_ids import split_words, word_offsets
from tunescope.verbs.trace.index import Index, IndexedRow

FIELD_ORDER = {"response": 0, "instruction": 2}
"""Responses are what is trained on; instructions are only read."""
DUPLICATE = 0.8
"""Jaccard similarity of two rows' sets of words from which on they are one group."""
Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that has a chain of words with an answer.

    Attributes:
        chain: the chain's number.
        text: the number of the row's text in the index.
        row: the row itself.
        field: what the text is called.
        bits: the chain's.
        prompt_bm25: BM25 of the prompt and the row's instruction among the candidates; None without a prompt.
        cosine: of the embeddings of prompt and answer and of instruction and response; None without an embedder.
        group: the ids of the rows nearly like this one among the candidates, its own first.
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
    """Order candidates, one for each group of rows nearly alike, the likeliest first.

    Chains within `SKIP_BITS` bits (a skipped word) of each other count as equal; then a response comes before an
    instruction, and the row whose instruction is most like the prompt first.
    """
    best: dict[int, Candidate] = {}
    for number in numbers:
        text = int(chains.text[number])
        owner, bits = int(index.owners[text]), float(chains.bits[number])
        if owner not in best or bits > best[owner].bits:
            row, field = index.field(text)
            best[owner] = Candidate(number, text, row, field.field, bits)
    found = list(best.values())
    found = _with_bm25(found, prompt)
    found = _with_cosine(found, f"{prompt}\n{passage}", embed)
    top = max((each.bits for each in found), default=0.0)
    found.sort(
        key=lambda c: (
            int((top - c.bits) // SKIP_BITS),
            FIELD_ORDER.get(c.field.partition(" ")[0], 1),
            -(c.prompt_bm25 or 0.0),
            -(c.cosine or 0.0),
            -c.bits,
        )
    )
    return _grouped(index, found)


def _with_bm25(found: list[Candidate], prompt: str) -> list[Candidate]:
    asked = [word.casefold() for word in split_words(prompt)]
    if not asked or not found:
        return found
    try:
        import bm25s
    except ModuleNotFoundError as error:
        raise MissingPackageError("bm25s", "trace", "ranking rows by their prompts") from error
    documents = [[word.casefold() for word in split_words(c.row.text("instruction"))] or [""] for c in found]
    model = bm25s.BM25(backend="numpy")
    model.index(documents, show_progress=False)
    known = [word for word in asked if word in model.vocab_dict]
    scores = model.get_scores(known) if known else np.zeros(len(found))
    return [replace(c, prompt_bm25=round(float(score), 4)) for c, score in zip(found, scores, strict=True)]


def _with_cosine(found: list[Candidate], passage: str, embed: Embed | None) -> list[Candidate]:
    if embed is None or not found:
        return found
    vectors = embed([passage, *(f"{c.row.text('instruction')}\n{c.row.text('response')}" for c in found)])
    return [replace(c, cosine=round(float(v @ vectors[0]), 4)) for c, v in zip(found, vectors[1:], strict=True)]


def _grouped(index: Index, found: list[Candidate]) -> list[Candidate]:
    """Keep the first of each group of rows nearly alike, with the group's size."""
    kept: list[tuple[Candidate, set[int]]] = []
    groups: list[list[str]] = []
    for candidate in found:
        words = set(index.words_of(int(index.owners[candidate.text])).tolist())
        like = next(
            (n for n, (_, other) in enumerate(kept) if len(words & other) >= DUPLICATE * len(words | other)), None
        )
        if like is None:
            kept.append((candidate, words))
            groups.append([candidate.row.row_id])
        else:
            groups[like].append(candidate.row.row_id)
    return [replace(c, group=tuple(group)) for (c, _), group in zip(kept, groups, strict=True)]


def own_text(index: Index, candidate: Candidate) -> str:
    """Return the row's text that the candidate's chain lies in."""
    return candidate.row.texts[candidate.text - int(index.firsts[index.owners[candidate.text]])].text


def record(
    index: Index, chains: Chains, candidate: Candidate, stretch: str, spots: list[tuple[int, int]]
) -> dict[str, Any]:
    """Return a row of a span's record; `spots` are the places of the answer's words in its text."""
    own = own_text(index, candidate)
    theirs = word_offsets(own)
    origin = int(index.starts[candidate.text])
    shared = [
        [spots[start][0], spots[start + n - 1][1], theirs[at - origin][0], theirs[at - origin + n - 1][1]]
        for start, at, n in chains.pieces(candidate.chain)
    ]
    begin, end = shared[0][2], shared[-1][3]
    return {
        "row_id": candidate.row.row_id,
        "group_size": len(candidate.group),
        "field": candidate.field,
        "row_char_start": begin,
        "row_char_end": end,
        "edits": int(chains.edits[candidate.chain]),
        "chain_bits": round(candidate.bits, 2),
        "prompt_bm25": candidate.prompt_bm25,
        "cosine": candidate.cosine,
        "influence": None,
        "file": candidate.row.file,
        "line": candidate.row.line,
        "shared_words": int(chains.words[candidate.chain]),
        "exact": stretch in own,
        "shared": shared,
    }
