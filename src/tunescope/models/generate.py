"""Greedy generation in batches, with the same result as one prompt at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tunescope.errors import SettingsError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FinishReason = Literal["stop", "length"]


class Generated(NamedTuple):
    """One response: its text, its token ids without the stop token, and why it ended."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the ids at which the model's turn ends: its generation configuration's and the tokenizer's."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list | tuple) else [configured]
    return frozenset(i for i in (*ids, tokenizer.eos_token_id) if isinstance(i, int))


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int = 256,
    batch_size: int = 16,
    update: Callable[[int], None] = lambda done: None,
) -> list[Generated]:
    """Continue each prompt greedily until a stop token or `max_new_tokens`; results in the prompts' order.

    Prompts (token ids, at least one each) are batched with others of like length, padded on the left
    and masked; `update` takes the number of prompts done. No sampling, no penalties, whatever the
    model's own generation configuration says.
    """
    from tunescope.models.load import imported

    torch, transformers = imported("torch"), imported("transformers")
    if max_new_tokens < 1 or batch_size < 1:
        raise SettingsError(f"max_new_tokens {max_new_tokens}, batch_size {batch_size}: expected at least 1 each")
    if not all(prompts):
        raise SettingsError("a prompt without a token; expected at least one")
    stops = stop_ids(model, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stops, default=0)
    greedy = transformers.GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=sorted(stops) or None,
        pad_token_id=pad,
    )
    # without this, transformers fills what is unset from the model's own configuration
    own, model.generation_config = model.generation_config, transformers.GenerationConfig()
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    results: dict[int, Generated] = {}
    generator: Any = model
    try:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            longest = len(prompts[batch[0]])
            ids = torch.full((len(batch), longest), pad)
            mask = torch.zeros_like(ids)
            for line, number in enumerate(batch):
                ids[line, longest - len(prompts[number]) :] = torch.tensor(prompts[number])
                mask[line, longest - len(prompts[number]) :] = 1
            with torch.inference_mode():
                out = generator.generate(
                    input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=greedy
                )
            for number, line in zip(batch, out[:, longest:].tolist(), strict=True):
                end = next((i for i, token in enumerate(line) if token in stops), None)
                tokens = tuple(line if end is None else line[:end])
                text = str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))
                results[number] = Generated(text, tokens, "length" if end is None else "stop")
            update(len(results))
    finally:
        model.generation_config = own
    return [results[number] for number in range(len(prompts))]
