"""What a training sequence would change: its gradient, as the adapter of a LoRA tuning would get it, sketched.

On every linear layer but the output layer lies, in thought, a fresh LoRA adapter: the layer's output y becomes
y + B·A·x with A random and B = 0 (Hu et al. 2021). While B is 0 only B has a gradient: Σ over tokens of
(∂loss/∂y)·(A·x)ᵀ, which is the weights' own gradient, randomly projected on its input side. All layers' gradients
together are count-sketched to `width` numbers (Charikar et al. 2002): each number is added, with a random sign, to a
random place; inner products are kept on average.

The model isn't changed: hooks on its layers see x and ∂loss/∂y. One sequence is read at a time, so that a sketch
depends on nothing else; on a CPU batches gain nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import TunescopeError
from tunescope.models.lazy import require
from tunescope.models.probe import FAILURES
from tunescope.models.training_rows import IGNORED
from tunescope.views import reason_of

if TYPE_CHECKING:
    from tunescope.models.training_rows import TrainingSequence

Layers = Literal["all", "top_third"]
"""Which of the model's blocks have adapters: all, or the third nearest to the output."""


class _Layer(NamedTuple):
    """A linear layer: its name, the module, and how many numbers it takes and gives."""

    name: str
    module: Any
    takes: int
    gives: int


class _Random(NamedTuple):
    """What is drawn for a layer: A [rank, takes], and of B's gradient, flattened, each number's place and sign."""

    a: Any
    places: Any
    signs: Any


class SketchedSequences(NamedTuple):
    """What sequences would change.

    Attributes:
        gradients: the sketched gradients of their losses [sequences, width].
        losses: their losses, summed over the tokens that have a label, in nats [sequences].
    """

    gradients: NDArray[np.float32]
    losses: NDArray[np.float64]


class GradientSketcher:
    """Sketches the gradients of sequences under one model.

    Attributes:
        width: numbers of a sketch.
        layers: the names of the layers that have adapters.
    """

    def __init__(self, model: Any, rank: int = 16, width: int = 8192, seed: int = 0, layers: Layers = "all") -> None:
        """Take a causal language model: a base, a tuned one, or one in PEFT's wrapping, whose adapters are in effect.

        A, places and signs depend on the seed, the layer's name and its shape: a base and what was tuned from it
        have the same.

        Raises:
            TunescopeError: it has no linear layers that a LoRA adapter can lie on.
        """
        model = model.get_base_model() if hasattr(model, "get_base_model") else model  # PEFT's layers stay in it
        self._model, self._rank, self.width, self._seed = model, rank, width, seed
        chosen = list(_linear_layers(model))
        if layers == "top_third":
            blocks = _top_third(model)
            chosen = [layer for layer in chosen if id(layer.module) in blocks]
        if not chosen:
            raise TunescopeError(
                f"{type(model).__name__}: found no linear layers that a LoRA adapter can lie on, so there are no "
                "gradients to compare; type the command without a model: rows are found by words and by meaning"
            )
        self._layers = {layer.name: layer for layer in chosen}
        self._drawn: dict[str, _Random] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers that have adapters, as in the model without PEFT's wrapping."""
        return tuple(self._layers)

    def projection(self, name: str) -> NDArray[np.float32]:
        """Return A of a layer: [rank, numbers that it takes], uniform in ±1/√takes, which is PEFT's own."""
        return np.asarray(self._draw(name).a.cpu())

    def hashes(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return places in the sketch and signs for B's gradient [gives, rank], row by row: both [gives · rank]."""
        drawn = self._draw(name)
        return drawn.places.cpu().numpy().astype(np.int64), drawn.signs.cpu().numpy().astype(np.float32)

    def sketch(self, sequences: Sequence[TrainingSequence]) -> NDArray[np.float32]:
        """Return the sketched gradients of sequences' losses, as `sketch_with_losses` does: [sequences, width]."""
        return self.sketch_with_losses(sequences).gradients

    def sketch_with_losses(self, sequences: Sequence[TrainingSequence]) -> SketchedSequences:
        """Return the sketched gradients of sequences' losses, and the losses.

        A loss is summed over the tokens that have a label. Without any, it and the gradient are 0. What lies behind
        the last of them isn't read. An example of several sequences has the sum of their sketches.

        Raises:
            TunescopeError: the model fails on token ids alone or in the backward pass, or a gradient isn't finite.
        """
        sketches, losses = np.zeros((len(sequences), self.width), np.float32), np.zeros(len(sequences))
        with _frozen(self._model):
            for number, sequence in enumerate(sequences):
                if sequence.n_supervised:
                    sketches[number], losses[number] = self._sketch(sequence)
        if not np.isfinite(sketches).all():
            raise TunescopeError(
                f"{type(self._model).__name__}: a gradient isn't finite in {self._model.dtype}; "
                "type the command again with --dtype float32"
            )
        return SketchedSequences(sketches, losses)

    def _sketch(self, sequence: TrainingSequence) -> tuple[NDArray[np.float32], float]:
        """Read one sequence forwards and backwards; return its sketched gradient and its loss."""
        torch = require("torch")
        total = torch.zeros(self.width, device=self._model.device)
        hooks = [layer.module.register_forward_hook(self._watch(layer, total)) for layer in self._layers.values()]
        try:
            with torch.enable_grad():
                loss = _summed_loss(self._model, sequence)
                torch.autograd.backward(loss)
        except FAILURES as error:
            raise TunescopeError(
                f"{type(self._model).__name__} has no gradients to compare: reading {len(sequence.ids)} tokens "
                f"forwards and backwards fails ({reason_of(error)}); type the command without a model: rows are "
                "found by words and by meaning"
            ) from error
        finally:
            for hook in hooks:
                hook.remove()
        return total.cpu().numpy(), float(loss.detach())

    def _watch(self, layer: _Layer, total: Any) -> Any:
        """Return a hook that, once a layer's output has its gradient, adds B's gradient to the sketch."""

        def forward(module: Any, inputs: Any, output: Any) -> Any:
            torch = require("torch")
            if not isinstance(output, torch.Tensor) or not inputs:
                return None  # such as a router that gives two tensors: no adapter lies on it
            drawn = self._draw(layer.name)
            projected = inputs[0].detach().flatten(0, -2).float() @ drawn.a.T

            def backward(gradient: Any) -> None:
                of_b = gradient.flatten(0, -2).float().T @ projected
                total.index_add_(0, drawn.places, of_b.flatten() * drawn.signs)

            # below the first of the layers nothing has a gradient, so the backward pass ends here
            first = not output.requires_grad
            if first:
                output = output + torch.zeros((), dtype=output.dtype, device=output.device, requires_grad=True)
            output.register_hook(backward)
            return output if first else None

        return forward

    def _draw(self, name: str) -> _Random:
        """Draw what is random about a layer, once."""
        if name not in self._drawn:
            torch = require("torch")
            layer = self._layers[name]
            text = f"{self._seed}/{name}/{layer.takes}/{layer.gives}/{self._rank}/{self.width}"
            seed = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") % 2**63
            generator, n = torch.Generator().manual_seed(seed), layer.gives * self._rank
            a = (2 * torch.rand((self._rank, layer.takes), generator=generator) - 1) / layer.takes**0.5
            places = torch.randint(self.width, (n,), generator=generator, dtype=torch.int32)
            signs = 2 * torch.randint(2, (n,), generator=generator, dtype=torch.int8) - 1
            device = next(layer.module.parameters()).device
            self._drawn[name] = _Random(a.to(device), places.to(device), signs.to(device))
        return self._drawn[name]


def _linear_layers(model: Any) -> Iterator[_Layer]:
    """Yield the linear layers on which PEFT's `all-linear` puts adapters, in the model's order.

    Experts whose weights are one tensor are left out: they are no layers.
    """
    torch, conv1d = require("torch"), require("transformers.pytorch_utils").Conv1D
    output_layer = model.get_output_embeddings()
    inside: set[int] = {id(output_layer)}
    for name, module in model.named_modules():
        if id(module) in inside:
            continue
        linear = getattr(module, "base_layer", module)  # a LoRA layer of PEFT's around the model's own
        if isinstance(linear, conv1d):
            takes, gives = linear.weight.shape
        elif isinstance(linear, torch.nn.Linear):
            takes, gives = linear.in_features, linear.out_features
        else:
            continue
        inside |= {id(part) for part in module.modules()}
        if linear is not output_layer:
            yield _Layer(name, module, takes, gives)


def _top_third(model: Any) -> set[int]:
    """Return the ids of the modules in the last third of the model's blocks."""
    blocks = max(
        _block_lists(model), key=lambda each: sum(weights.numel() for weights in each.parameters()), default=()
    )
    return {id(part) for block in [*blocks][len(blocks) - -(-len(blocks) // 3) :] for part in block.modules()}


def _block_lists(module: Any) -> Iterator[Any]:
    """Yield the outermost lists of modules."""
    for child in module.children():
        if isinstance(child, require("torch").nn.ModuleList):
            yield child
        else:
            yield from _block_lists(child)


@contextmanager
def _frozen(model: Any) -> Iterator[None]:
    """Freeze the weights and switch dropout off while the context lasts."""
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    in_training = [module for module in model.modules() if module.training]
    for weights in trained:
        weights.requires_grad_(False)
    for module in in_training:
        module.training = False
    try:
        yield
    finally:
        for weights in trained:
            weights.requires_grad_(True)
        for module in in_training:
            module.training = True


def _summed_loss(model: Any, sequence: TrainingSequence) -> Any:
    """Return the summed negative log-likelihood, in nats, of a sequence's labelled tokens."""
    torch = require("torch")
    last = max(place for place, label in enumerate(sequence.labels) if label != IGNORED)
    labels = torch.tensor(list(sequence.labels[1 : last + 1]), device=model.device)
    counted = (labels != IGNORED).nonzero().flatten()
    ids = torch.tensor([list(sequence.ids[:last])], device=model.device)
    parameters = inspect.signature(model.forward).parameters
    options: dict[str, Any] = {"use_cache": False} if "use_cache" in parameters else {}
    if "logits_to_keep" in parameters:
        options["logits_to_keep"] = counted
    logits = model(input_ids=ids, **options).logits[0]
    if len(logits) != len(counted):
        logits = logits[counted]
    return torch.nn.functional.cross_entropy(logits.float(), labels[counted], reduction="sum")
