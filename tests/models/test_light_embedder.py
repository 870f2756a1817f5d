"""The embedder without torch gives the vectors of sentence-transformers."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from tests.tools import ROOT

from tunescope.models.embedded import EMBEDDER, cached
from tunescope.models.embedder import Embedder
from tunescope.models.light_embedder import LightEmbedder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(cached(EMBEDDER) is None, reason="the embedder isn't in the cache"),
]

TEXTS = [
    "The tide clock has a silver hand.",
    "",
    "—",
    "What is 3.14 × 2?\nIt's 6.28 — naïve 日本語 😀",
    "word " * 400,
    *(f"row {n}: " + "the quick brown fox jumps over the lazy dog " * (n % 9) for n in range(60)),
]


def test_vectors_are_those_of_sentence_transformers():
    theirs, ours = Embedder(EMBEDDER).embed(TEXTS), LightEmbedder(EMBEDDER).embed(TEXTS)
    assert ours.cut.tolist() == theirs.cut.tolist()
    assert ours.cut.sum() == 1
    assert np.abs(ours.vectors - theirs.vectors).max() < 1e-6
    assert LightEmbedder(EMBEDDER).embed([]).vectors.shape == (0, 384)


def test_it_needs_no_torch():
    code = (
        "import sys; from tunescope.models.light_embedder import LightEmbedder\n"
        f"LightEmbedder({EMBEDDER!r}).embed(['a'])\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
