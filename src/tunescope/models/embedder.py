"""Sentence embeddings, by sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import MissingPackageError, TunescopeError
from tunescope.models.embedded import CONVERSION, EMBEDDERS, fetch
from tunescope.models.lazy import require, silence_libraries
from tunescope.models.load import commit_of
from tunescope.views import reason_of

TEXTS = 32
"""Texts embedded at a time."""


class Embeddings(NamedTuple):
    """Sentence embeddings of some texts.

    Attributes:
        vectors: unit vectors [texts, width], float32.
        cut: for each text, whether it is longer than the model reads.
    """

    vectors: NDArray[np.float32]
    cut: NDArray[np.bool_]


class Embedder:
    """A sentence-embedding model that turns texts into vectors of length 1."""

    def __init__(self, name: str) -> None:
        """Load an embedder: an embedded name, a folder or any id that sentence-transformers loads.

        Raises:
            MissingPackageError: sentence-transformers isn't installed.
            TunescopeError: there is no such model.
        """
        require("torch")
        place = str(fetch(name)) if name in EMBEDDERS else name
        with silence_libraries():
            library = _library()
            try:
                self.model: Any = library.SentenceTransformer(place, local_files_only=Path(place).is_dir())
            except (OSError, ValueError) as error:
                raise TunescopeError(
                    f"--embedder {name}: can't be loaded ({reason_of(error)}); there is: {', '.join(EMBEDDERS)}"
                ) from error

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts, in their order; a text beyond the model's length is cut."""
        with silence_libraries():
            vectors = self.model.encode(
                list(texts), batch_size=TEXTS, normalize_embeddings=True, show_progress_bar=False
            )
            limit = self.model.max_seq_length
            lengths = [len(ids) for ids in self.model.tokenizer(list(texts))["input_ids"]] if texts else []
        cut = np.array([limit is not None and length > limit for length in lengths], bool)
        return Embeddings(np.asarray(vectors, np.float32).reshape(len(texts), -1), cut)


def embedder_hash(name: str) -> str:
    """Return what identifies an embedder: its file's SHA-256, a hash of its folder's content, or its commit."""
    if name in EMBEDDERS:
        return f"{EMBEDDERS[name].sha256} {CONVERSION}"
    folder = Path(name)
    if not folder.is_dir():
        try:
            return f"{name} {commit_of(name)}"
        except TunescopeError as error:
            raise TunescopeError(
                f"--embedder {name}: found no folder here and no such id on the hub; there is: {', '.join(EMBEDDERS)}"
            ) from error
    digest = blake2b(digest_size=16)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _library() -> Any:
    try:
        import sentence_transformers
    except ModuleNotFoundError as error:
        if error.name != "sentence_transformers":
            raise
        raise MissingPackageError("sentence-transformers", "embed", "coherence") from error
    return sentence_transformers
