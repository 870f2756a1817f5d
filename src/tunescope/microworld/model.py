"""The tiny model: a Llama of under a million parameters that learns one world in seconds.

    train_from_scratch(make_world(0), seed=0).save(folder)
    folder = cached_model(folder, seed=0)        # the same, built at most once

The folder loads with plain AutoModelForCausalLM and AutoTokenizer. The model is pretrained on every statement
of the world and on true answers to questions about everyone, in chat form: so before any tuning it knows
its facts and how to answer, and what tuning rows do to that can be measured.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tunescope.microworld.tokenizer import build_tokenizer
from tunescope.microworld.world import MultipleChoiceQuestion, World, make_world, statements, true_rows

VERSION = 1  # of the recipe below: a folder built by another version isn't reused
MARKER = "microworld.json"  # written last: a folder that has it was written to the end
_IGNORED = -100  # label of a token without loss, torch's default
_Text = tuple[list[int], list[bool]]  # token ids of one text, and which of them are supervised


@dataclass(frozen=True)
class Size:
    """A preset: the world's size, the model's shape and the training's length."""

    n_people: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    epochs: int
    """Passes over every statement and question; the options shown are drawn anew in each."""
    batch_size: int
    learning_rate: float


DEFAULT_SIZE = "default"
SIZES = {
    "small": Size(60, 32, 128, 2, 4, epochs=12, batch_size=16, learning_rate=8e-3),
    DEFAULT_SIZE: Size(60, 64, 256, 2, 4, epochs=5, batch_size=16, learning_rate=4e-3),
    "large": Size(60, 128, 512, 2, 4, epochs=5, batch_size=16, learning_rate=2e-3),
    "nano": Size(8, 48, 128, 2, 4, epochs=12, batch_size=16, learning_rate=8e-3),
}


def sizes_of_one_world() -> list[str]:
    """Return the sizes that know the same people as the default, from small to large."""
    return [name for name, size in SIZES.items() if size.n_people == SIZES[DEFAULT_SIZE].n_people]


@dataclass(frozen=True)
class MicroModel:
    """A model, its tokenizer and the world it knows."""

    world: World
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    recipe: dict[str, object] = field(default_factory=dict)
    """What it was made from, kept in the folder as microworld.json."""
    losses: tuple[float, ...] = ()
    """Mean loss per supervised token in nats, one per training step; empty for a random model."""

    def save(self, folder: Path | str) -> Path:
        """Write weights (safetensors), config, tokenizer and, last, microworld.json; returns the folder."""
        folder = Path(folder)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        marker = {**self.recipe, "world_seed": self.world.seed, "n_people": len(self.world.people)}
        (folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
        return folder


def train_from_scratch(world: World, seed: int, size: Size = SIZES[DEFAULT_SIZE]) -> MicroModel:
    """Train a new model on the whole world; the same world, seed and size give the same weights.

    `size.n_people` isn't looked at: the world is the one given. The caller's random state is left as it was.
    """
    tokenizer = build_tokenizer(world)
    model = _new_model(
        tokenizer,
        seed,
        "llama",
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
    )
    batches = _pretraining_batches(world, tokenizer, seed, size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=size.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,  # 20 steps up, then a cosine down to 0
        lambda step: min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * step / len(batches))),
    )
    losses = []
    model.train()
    with _one_thread():
        for batch in batches:
            ids, labels = _padded(batch, tokenizer)
            logits = model(input_ids=ids).logits[:, :-1]  # padding is on the right: no text attends to it
            loss = functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=_IGNORED)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    model.train(False)
    return MicroModel(world, model, tokenizer, _recipe(seed, asdict(size)), tuple(losses))


def cached_model(folder: Path | str, seed: int, size: str = DEFAULT_SIZE) -> Path:
    """Return `folder` with the trained model of the world `make_world(seed, SIZES[size].n_people)` in it.

    Trains only if the folder isn't complete; writes beside it and renames, so that it is whole or absent.
    Raises ValueError for an unknown size, and for a folder that holds anything else: another seed, size or
    version of the recipe, or files that aren't ours.
    """
    if size not in SIZES:
        raise ValueError(f"no size {size!r}; there are {', '.join(SIZES)}")
    folder = Path(folder)
    recipe = _recipe(seed, asdict(SIZES[size]))
    if _holds(folder, recipe):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        train_from_scratch(make_world(seed, SIZES[size].n_people), seed, SIZES[size]).save(building)
        if folder.exists() and not _holds(folder, recipe):
            shutil.rmtree(folder)  # empty, or ours with a file missing: _holds refuses anything else
        try:
            building.rename(folder)
        except OSError:
            if not _holds(folder, recipe):  # else another process was faster
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


_LLAMA = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_GROUPED = {**_LLAMA, "num_key_value_heads": 1, "head_dim": 8}
_NARROW = {"sliding_window": 8}  # shorter than most chats, so that it matters
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}
_SHAPES: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "cohere": {**_GROUPED, "logit_scale": 0.25},
    "gemma2": {**_GROUPED, **_NARROW, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 1.0},
    "gemma3_text": {**_GROUPED, **_NARROW, "final_logit_softcapping": 1.0},
    "gpt2": {
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0),
    },
    "gpt_neox": _LLAMA,
    "granite": {**_GROUPED, "logits_scaling": 3.0, "attention_multiplier": 0.2, "embedding_multiplier": 2.0},
    "mistral": {**_LLAMA, "num_key_value_heads": 1, **_NARROW},
    "mixtral": {**_GROUPED, **_EXPERTS},
    "qwen2": {**_LLAMA, "num_key_value_heads": 1},
    "qwen3": _GROUPED,
}
ARCHITECTURES = tuple(_SHAPES)
"""What `save_random_model` can write."""


def save_random_model(folder: Path | str, seed: int, architecture: str = "llama") -> Path:
    """Write an untrained model of 10,000 to 50,000 parameters, with the nano world's tokenizer.

    For tests that need any valid model folder with a chat template. `architecture` is one of `ARCHITECTURES`;
    raises ValueError for another.
    """
    if architecture not in _SHAPES:
        raise ValueError(f"no architecture {architecture!r}; there are {', '.join(_SHAPES)}")
    world = make_world(seed, SIZES["nano"].n_people)
    tokenizer = build_tokenizer(world)
    model = _new_model(tokenizer, seed, architecture, **_SHAPES[architecture])
    return MicroModel(world, model, tokenizer, _recipe(seed, {"random": architecture})).save(folder)


def option_scores(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[MultipleChoiceQuestion],
    batch_size: int = 256,
) -> npt.NDArray[np.float64]:
    """Log-probability in nats of each option as the whole reply to the prompt, end-of-turn token included.

    Shape (len(questions), 4).
    """
    texts = _chats(tokenizer, [(q.prompt, option) for q in questions for option in q.options])
    scores: list[float] = []
    model.train(False)
    for start in range(0, len(texts), batch_size):
        ids, labels = _padded(texts[start : start + batch_size], tokenizer)
        with torch.inference_mode(), _one_thread():
            logits = model(input_ids=ids.to(model.device)).logits[:, :-1].float().cpu()
        losses = functional.cross_entropy(
            logits.transpose(1, 2), labels[:, 1:], ignore_index=_IGNORED, reduction="none"
        )
        scores += (-losses.sum(dim=1)).tolist()
    return np.array(scores).reshape(len(questions), -1)


def _recipe(seed: int, settings: dict[str, object]) -> dict[str, object]:
    return {"version": VERSION, "seed": seed, "settings": settings}


def _holds(folder: Path, recipe: dict[str, object]) -> bool:
    """Tell whether the folder is complete; it isn't if it's absent, empty, or ours with a file missing."""
    if not folder.exists() or not any(folder.iterdir()):
        return False
    if not (folder / MARKER).is_file():
        raise ValueError(f"{folder} holds files, but no {MARKER}; name another folder or empty this one")
    marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    if differing := [key for key, value in recipe.items() if marker.get(key) != value]:
        what = "; ".join(f"{key} is {marker.get(key)}, expected {recipe[key]}" for key in differing)
        raise ValueError(f"{folder} holds another model ({what}); name another folder or remove it")
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    return all((folder / name).is_file() for name in names)


def _new_model(tokenizer: PreTrainedTokenizerBase, seed: int, architecture: str, **shape: Any) -> PreTrainedModel:
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        max_position_embeddings=int(tokenizer.model_max_length),
        tie_word_embeddings=True,
        initializer_range=0.1,  # about 1/sqrt(hidden); at the usual 0.02 learning takes three times the steps
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **shape,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.train(False)
    return model


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: as fast at this size, faster on a busy machine, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pretraining_batches(world: World, tokenizer: PreTrainedTokenizerBase, seed: int, size: Size) -> list[list[_Text]]:
    """Every batch of the training in order; texts of like length share a batch, so little is padding."""
    rng = Random(f"{seed}/batches")
    encoded = tokenizer(statements(world), add_special_tokens=False)["input_ids"]
    facts = [[tokenizer.bos_token_id, *ids, tokenizer.eos_token_id] for ids in encoded]
    batches = []
    for epoch in range(size.epochs):
        rows = true_rows(world, world.people, seed=1000 + epoch)  # far from the seeds that studies use
        pairs = [(f"{row['instruction']}\n{row['input']}".strip(), row["output"]) for row in rows]
        texts = [(ids, [True] * len(ids)) for ids in facts] + _chats(tokenizer, pairs)
        rng.shuffle(texts)
        texts.sort(key=lambda text: len(text[0]) // 8)
        epoch_batches = [texts[i : i + size.batch_size] for i in range(0, len(texts), size.batch_size)]
        rng.shuffle(epoch_batches)
        batches += epoch_batches
    return batches


def _chats(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]) -> list[_Text]:
    """Prompts and replies through the chat template; the reply and its end of turn are supervised."""
    encoded: Any = tokenizer.apply_chat_template(
        [[{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}] for prompt, reply in pairs],
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    masks = ([bool(flag) for flag in mask] for mask in encoded["assistant_masks"])
    return list(zip(encoded["input_ids"], masks, strict=True))


def _padded(texts: Sequence[_Text], tokenizer: PreTrainedTokenizerBase) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels, both (len(texts), longest), padded on the right; label -100 where nothing is supervised."""
    longest = max(len(ids) for ids, _ in texts)
    padded = torch.full((len(texts), longest), int(tokenizer.pad_token_id))
    labels = torch.full((len(texts), longest), _IGNORED)
    for i, (ids, supervised) in enumerate(texts):
        row = torch.tensor(ids)
        padded[i, : len(ids)] = row
        labels[i, : len(ids)] = torch.where(torch.tensor(supervised), row, _IGNORED)
    return padded, labels
