"""The embedded sentence embedder without torch: `tokenizers`, safetensors and numpy, in tenths of a second.

It reads a BERT encoder with mean pooling (Reimers & Gurevych 2019) and gives the vectors that sentence-transformers
gives, up to rounding (a test compares them). Texts are packed without padding: their tokens go through the dense layers
together, and each text attends to itself alone.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import MissingPackageError
from tunescope.models.embedded import EMBEDDERS, fetch
from tunescope.models.embedder import Embedder, Embeddings

_Array = NDArray[np.float32]
_PACK = 1_024
"""Tokens that go through the layers together, at least one text's."""
_PART = "encoder.layer.{}.{}"
_PACKAGES = ("tokenizers", "safetensors")
"""What is needed besides numpy."""
_LIGHT_UP_TO = 1_000
"""Texts up to which the embedder that loads faster is the faster one."""


class _Dense(NamedTuple):
    """A dense layer: weights [in, out] and biases [out]."""

    weight: _Array
    bias: _Array

    def __call__(self, states: _Array) -> _Array:
        return states @ self.weight + self.bias


class _Norm(NamedTuple):
    """A layer normalisation: its weights, biases [width] and what keeps it from dividing by 0."""

    weight: _Array
    bias: _Array
    epsilon: float

    def __call__(self, states: _Array) -> _Array:
        centred = states - states.mean(-1, keepdims=True)
        variance = np.square(centred).mean(-1, keepdims=True)
        normed: _Array = centred / np.sqrt(variance + np.float32(self.epsilon)) * self.weight + self.bias
        return normed


class _EncoderLayer(NamedTuple):
    """One layer of the encoder."""

    attention_in: _Dense
    """Queries, keys and values side by side."""
    attention_out: _Dense
    attention_norm: _Norm
    inner: _Dense
    outer: _Dense
    norm: _Norm


class LightEmbedder:
    """Turns texts into vectors of length 1, as `Embedder` does for the same model."""

    def __init__(self, name: str) -> None:
        """Load an embedded embedder.

        Raises:
            MissingPackageError: tokenizers or safetensors isn't installed.
            TunescopeError: there is no such model.
        """
        tokenizers, safetensors = _require("tokenizers"), _require("safetensors")
        folder = fetch(name)
        self._erf = importlib.import_module("scipy.special").erf
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._limit: int = _read(folder / "sentence_bert_config.json")["max_seq_length"]
        config = _read(folder / "config.json")
        self._heads: int = config["num_attention_heads"]
        with safetensors.safe_open(folder / "model.safetensors", "np") as file:
            self._words: _Array = file.get_tensor("embeddings.word_embeddings.weight")
            self._positions: _Array = file.get_tensor("embeddings.position_embeddings.weight")
            self._positions += file.get_tensor("embeddings.token_type_embeddings.weight")[0]
            epsilon = config["layer_norm_eps"]
            self._norm = _norm(file, "embeddings", epsilon)
            self._layers = [_layer(file, number, epsilon) for number in range(config["num_hidden_layers"])]

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts, in their order; a text beyond the model's length is cut."""
        encoded = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        cut = np.array([len(ids) > self._limit for ids in encoded], bool)
        encoded = [ids if len(ids) <= self._limit else [*ids[: self._limit - 1], ids[-1]] for ids in encoded]
        vectors = np.zeros((len(texts), self._words.shape[1]), np.float32)
        start = 0
        while start < len(encoded):
            end, tokens = start + 1, len(encoded[start])
            while end < len(encoded) and tokens + len(encoded[end]) <= _PACK:
                tokens += len(encoded[end])
                end += 1
            vectors[start:end] = self._encode(encoded[start:end])
            start = end
        return Embeddings(vectors, cut)

    def _encode(self, texts: Sequence[Sequence[int]]) -> _Array:
        """Return the unit vectors of a pack of texts, given as token ids [texts, width]."""
        ends = np.cumsum([len(ids) for ids in texts])
        pieces = [slice(end - len(ids), end) for ids, end in zip(texts, ends.tolist(), strict=True)]
        states = self._words[np.concatenate([np.asarray(ids) for ids in texts])]
        states = self._norm(states + np.concatenate([self._positions[: len(ids)] for ids in texts]))
        for layer in self._layers:
            states = layer.attention_norm(states + layer.attention_out(self._attend(layer, states, pieces)))
            inner = layer.inner(states)
            inner = inner * np.float32(0.5) * (1 + self._erf(inner * np.float32(0.5**0.5)))
            states = layer.norm(states + layer.outer(inner))
        means = np.stack([states[piece].mean(0) for piece in pieces])
        unit: _Array = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.float32(1e-12))
        return unit

    def _attend(self, layer: _EncoderLayer, states: _Array, pieces: Sequence[slice]) -> _Array:
        """Return what each token takes from the tokens of its own text [tokens, width]."""
        width = states.shape[1]
        head = width // self._heads
        parts = layer.attention_in(states).reshape(len(states), 3, self._heads, head)
        out = np.empty_like(states)
        for piece in pieces:
            queries, keys, values = (parts[piece, which].transpose(1, 0, 2) for which in range(3))
            weights = queries @ keys.transpose(0, 2, 1) / np.float32(head**0.5)
            weights = np.exp(weights - weights.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            out[piece] = (weights @ values).transpose(1, 0, 2).reshape(-1, width)
        return out


def _layer(file: Any, number: int, epsilon: float) -> _EncoderLayer:
    """Read one layer of the encoder."""
    own = [_dense(file, _PART.format(number, f"attention.self.{part}")) for part in ("query", "key", "value")]
    return _EncoderLayer(
        _Dense(np.concatenate([each.weight for each in own], 1), np.concatenate([each.bias for each in own])),
        _dense(file, _PART.format(number, "attention.output.dense")),
        _norm(file, _PART.format(number, "attention.output"), epsilon),
        _dense(file, _PART.format(number, "intermediate.dense")),
        _dense(file, _PART.format(number, "output.dense")),
        _norm(file, _PART.format(number, "output"), epsilon),
    )


def _dense(file: Any, name: str) -> _Dense:
    return _Dense(np.ascontiguousarray(file.get_tensor(f"{name}.weight").T), file.get_tensor(f"{name}.bias"))


def _norm(file: Any, name: str, epsilon: float) -> _Norm:
    return _Norm(file.get_tensor(f"{name}.LayerNorm.weight"), file.get_tensor(f"{name}.LayerNorm.bias"), epsilon)


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def missing_package() -> str | None:
    """Return the name of a package that the embedder needs and that isn't installed; None where there is none."""
    return next((package for package in _PACKAGES if find_spec(package) is None), None)


def _require(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingPackageError(package, "embed", "ranking rows by meaning") from error


def load_embedder(name: str, n_texts: int) -> Embedder | LightEmbedder:
    """Load the embedder that is done first with so many texts; raises as `Embedder` and `LightEmbedder` do."""
    return LightEmbedder(name) if name in EMBEDDERS and n_texts <= _LIGHT_UP_TO else Embedder(name)
