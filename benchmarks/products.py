"""Plain matrix products of a model's shapes: what no way of running it can do without, and how fast they are here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch

Kind = Literal["forward", "inputs", "weights"]
"""Outputs from inputs, gradients of inputs from those of outputs, gradients of weights."""


class Product(NamedTuple):
    """A product with a linear layer's weights [gives, takes], or of their size.

    Attributes:
        rows: tokens.
        weight: the weights.
        kind: which of a layer's three products.
    """

    rows: int
    weight: torch.Tensor
    kind: Kind = "forward"

    @property
    def flop(self) -> int:
        """A multiplication and an addition for each token and weight."""
        return 2 * self.rows * self.weight.numel()


class Took(NamedTuple):
    """Seconds by the clock, seconds of the processor (all threads) and the floating-point operations in them."""

    seconds: float
    cpu: float
    flop: int

    def __add__(self, other: object) -> Took:
        """Add up."""
        assert isinstance(other, Took)
        return Took(self.seconds + other.seconds, self.cpu + other.cpu, self.flop + other.flop)


def time_products(products: Iterable[Product]) -> Took:
    """Do products one after the other, with the model's weights and random numbers that are drawn beforehand."""
    drawn: dict[tuple[int, int], torch.Tensor] = {}

    def numbers(rows: int, width: int) -> torch.Tensor:
        if (rows, width) not in drawn:
            drawn[rows, width] = torch.randn(rows, width)
        return drawn[rows, width]

    pairs, flop = [], 0
    for product in products:
        weight, flop = product.weight.detach(), flop + product.flop
        gives, takes = weight.shape
        if product.kind == "forward":
            pairs.append((numbers(product.rows, takes), weight.T))
        elif product.kind == "inputs":
            pairs.append((numbers(product.rows, gives), weight))
        else:
            pairs.append((numbers(product.rows, gives).T, numbers(product.rows, takes)))
    with torch.inference_mode():
        begun, cpu = time.perf_counter(), time.process_time()
        for left, right in pairs:
            left @ right
        return Took(time.perf_counter() - begun, time.process_time() - cpu, flop)


def linear_layers(model: Any) -> dict[str, torch.nn.Linear]:
    """Return a model's linear layers by name, the output layer's among them."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}


class Call(NamedTuple):
    """A linear layer that was run on some rows."""

    name: str
    rows: int
    weight: torch.Tensor


@contextmanager
def recorded_calls(model: Any) -> Iterator[list[Call]]:
    """Give a list to which each forward pass through a linear layer is added."""
    calls: list[Call] = []

    def watch(name: str, layer: torch.nn.Linear) -> Any:
        def hook(module: Any, inputs: Any) -> None:
            calls.append(Call(name, inputs[0].numel() // layer.in_features, layer.weight))

        return layer.register_forward_pre_hook(hook)

    hooks = [watch(name, layer) for name, layer in linear_layers(model).items()]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()
