"""What a probe of a model needs: exact arithmetic, the model's own logits, and the lengths at which it may change.

Scores and answers are made in the fastest way that a model allows: many texts at a time, or one. Whether a way gives
the model's own numbers is tried on a few random tokens. In bfloat16 rounding would hide what is wrong, so the trial
computes in float32 where it can.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from tunescope.errors import TunescopeError
from tunescope.models.lazy import require

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

TOLERANCE = 1e-3
"""How far, in nats, log-probabilities may be apart that are computed in float32."""
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What an architecture raises that is built otherwise."""
_STRETCH = re.compile(r"window|chunk|block|local|top_?k|original_max|keep|budget|floor|extent|max_distance")
"""Names of settings that hold a number of tokens from which on attention changes."""
_SHORTEST = 8
_FEW = 64
"""Tokens whose logits are few enough to have all."""


@contextmanager
def in_float32(model: PreTrainedModel) -> Iterator[bool]:
    """Compute in float32 while the context lasts, one layer's weights at a time; tell whether that is so.

    The weights are as before afterwards, to the bit. Quantised and offloaded models compute as they always do.
    """
    torch = require("torch")
    tensors = [*model.parameters(), *model.buffers()]
    if getattr(model, "is_quantized", False) or any(each.is_meta for each in tensors):
        yield False
        return
    if all(each.dtype == torch.float32 for each in tensors if each.is_floating_point()):
        yield True
        return
    layers = list(_layers(model))
    inside = {id(module) for layer in layers for module in layer.modules()}
    hooks: list[Any] = []
    narrow: dict[int, list[tuple[dict[str, Any], str, Any]]] = {}

    def widen(module: Any, _: Any) -> None:
        narrow[id(module)] = _widen(module.modules())

    def restore(module: Any, *_: Any) -> None:
        _restore(narrow.pop(id(module), []))

    for layer in layers:
        hooks += [layer.register_forward_pre_hook(widen), layer.register_forward_hook(restore, always_call=True)]
    outside = _widen(module for module in model.modules() if id(module) not in inside)
    try:
        yield True
    finally:
        _restore(outside)
        for hook in hooks:
            hook.remove()


def _layers(module: Any) -> Iterator[Any]:
    """Yield the entries of the outermost lists of modules."""
    for child in module.children():
        if isinstance(child, require("torch").nn.ModuleList):
            yield from child
        else:
            yield from _layers(child)


def _widen(modules: Any) -> list[tuple[dict[str, Any], str, Any]]:
    """Put float32 copies in place of modules' own weights; return where each was, and what."""
    torch = require("torch")
    places = []
    for module in modules:
        for kept in (module._parameters, module._buffers):
            for name, tensor in kept.items():
                if tensor is not None and tensor.is_floating_point() and tensor.dtype != torch.float32:
                    places.append((kept, name, tensor))
                    wide = tensor.detach().float()
                    kept[name] = torch.nn.Parameter(wide, requires_grad=False) if kept is module._parameters else wide
    return places


def _restore(places: Sequence[tuple[dict[str, Any], str, Any]]) -> None:
    for kept, name, tensor in places:
        kept[name] = tensor


def own_logits(model: PreTrainedModel, ids: Sequence[int], last: int) -> Tensor:
    """Return the logits [last, vocabulary], float32, behind the last tokens of a sequence that is read alone."""
    torch = require("torch")
    parameters = inspect.signature(model.forward).parameters
    options: dict[str, Any] = {"use_cache": False} if "use_cache" in parameters else {}
    if "logits_to_keep" in parameters and len(ids) > _FEW:
        options["logits_to_keep"] = last
    with torch.inference_mode():
        out = model(input_ids=torch.tensor([list(ids)], device=model.device), **options)
    logits: Tensor = out.logits[0, -last:].float()
    return logits


def random_ids(model: PreTrainedModel, lengths: Sequence[int], seed: int = 0) -> list[tuple[int, ...]]:
    """Draw a sequence of token ids of each length."""
    draws, size = Random(seed), model.config.get_text_config().vocab_size
    return [tuple(draws.randrange(size) for _ in range(length)) for length in lengths]


def last_change(model: PreTrainedModel, tested: int, length: int) -> int | None:
    """Return the last number of tokens between two lengths at which a window, a chunk or their like ends.

    The model's configuration says so. None where there is none. Chunks may matter only once there are two or four.
    """
    ends = {times * n for n in _stretches(model.config.to_dict()) for times in (1, 2, 4)}
    return max((n for n in ends if tested <= n < length), default=None)


def _stretches(settings: Any, name: str = "") -> Iterator[int]:
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from _stretches(value, str(key))
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _stretches(value, name)
    elif isinstance(settings, int) and settings >= _SHORTEST and _STRETCH.search(name):
        yield settings


def require_causal(model: PreTrainedModel, name: str) -> None:
    """Raise `TunescopeError` for a model whose logits depend on later tokens, such as BERT's.

    A model that can't be run on token ids alone passes: who uses it says what is missing.
    """
    (ids,) = random_ids(model, [_SHORTEST])
    other = (*ids[:-1], (ids[-1] + 1) % model.config.get_text_config().vocab_size)
    try:
        first, second = (own_logits(model, each, _SHORTEST)[:-1].log_softmax(-1) for each in (ids, other))
    except FAILURES:
        return
    if float((first - second).abs().mean()) > TOLERANCE:
        raise TunescopeError(
            f"{name}: {type(model).__name__} isn't causal: what it expects at a token depends on later tokens, "
            "so it can't be scored, answer or be tuned; expected a model for text generation"
        )
