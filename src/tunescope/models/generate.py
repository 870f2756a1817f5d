"""Generation, greedy or sampled, in batches where that gives the same result as one prompt at a time.

A row leaves the batch when its response is finished, and another prompt takes its place. A long beginning that many
prompts share is read once, and so is a prompt that is continued several times. An architecture that can't be batched
so answers one prompt at a time, and one whose cache can't be used reads its text anew for each token.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from copy import deepcopy
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.probe import FAILURES, TOLERANCE, in_float32, last_change, own_logits, random_ids
from tunescope.progress import say
from tunescope.text.thoughts import SplitText, opening_mark, split_thoughts
from tunescope.views import reason_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_FinishReason = Literal["stop", "length"]
_WAYS = ("shared", "batched", "single", "uncached")
"""How prompts are continued: several at a time, their common beginning read once (where there is one); several at a
time; one at a time; one at a time without a cache. The first that gives the model's own log-probabilities is taken."""
_BATCHED = _WAYS[:2]
_CACHES = ("past_key_values", "cache_params", "state")
"""Names that architectures have for what they keep of the text so far."""
_HEADER_TOKENS = 16
"""Tokens of a prompt's end that may open a thought."""
_SHORT, _LONG = 3, 12
"""Tokens of the probe's prompts, behind a common beginning where one is shared."""
_BEGINNING = 5
"""Tokens of that beginning."""
_NO_CACHE = "it keeps no cache that gives the same"
_WORTH_SHARING = 1024
"""Tokens that a common beginning must save to be worth its probe."""
_CACHED = 0.02
"""Nats by which reading with a cache may differ from reading without, in float32: some states are kept otherwise."""
_ROUNDING = 0.05
"""Nats, in mean, that a model which can't compute in float32 may be off by on the probe."""


KnownWays: TypeAlias = dict[tuple[int, int | None, bool], str]
"""What a model was probed with → the way of `_WAYS` that it takes."""


class Generated(NamedTuple):
    """One response: its text, its token ids without the stop token, and why it ended."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: _FinishReason


class Sampling(NamedTuple):
    """How a token is drawn: from softmax(logits / temperature), cut to its nucleus.

    The nucleus (Holtzman et al. 2020) is the smallest set of most probable tokens whose probabilities,
    at this temperature, reach `top_p`.
    """

    temperature: float = 1.0
    top_p: float = 1.0


class _Row(NamedTuple):
    """A prompt being answered: its number, the tokens chosen so far, and how many there may be."""

    number: int
    tokens: list[int]
    limit: int


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the ids at which the model's turn ends: its generation configuration's and the tokenizer's."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list | tuple) else [configured]
    return frozenset(i for i in (*ids, tokenizer.eos_token_id) if isinstance(i, int))


def _added_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> frozenset[int]:
    """Return the ids of added tokens that are some texts: special ones don't appear in what is decoded."""
    if not texts:
        return frozenset()
    return frozenset(i for i, token in tokenizer.added_tokens_decoder.items() if token.content in texts)


def context_of(model: PreTrainedModel) -> int | None:
    """Return how many tokens the model can hold, prompt and answer together, as its configuration says."""
    config = model.config.get_text_config()
    return next((n for name in ("max_position_embeddings", "n_positions") if (n := getattr(config, name, None))), None)


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int = 256,
    batch_size: int = 16,
    update: Callable[[int], None] = lambda done: None,
    sampling: Sampling | None = None,
    draws: Sequence[Random] = (),
    until: Sequence[str] = (),
) -> list[Generated]:
    """Return what `stream` yields, in the prompts' order; `update` takes the number of prompts done."""
    results: dict[int, Generated] = {}
    for number, generated in stream(model, tokenizer, prompts, max_new_tokens, batch_size, sampling, draws, until):
        results[number] = generated
        update(len(results))
    return [results[number] for number in range(len(prompts))]


def stream(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int = 256,
    batch_size: int = 16,
    sampling: Sampling | None = None,
    draws: Sequence[Random] = (),
    until: Sequence[str] = (),
    known_ways: KnownWays | None = None,
) -> Iterator[tuple[int, Generated]]:
    """Continue each prompt until a stop token, a text of `until`, `max_new_tokens` or the end of the model's context.

    Yields a prompt's number and its response as soon as that is finished. Prompts are token ids, at least one each.
    They are batched with others of similar length. A response that a text of `until` ends has the text before it, and
    all of its tokens; where that text is a token which was added to the tokenizer, that is a stop token. Decoding is
    greedy where `sampling` is None. Otherwise `draws` has a random number generator per prompt, and each token takes
    one number from it: a response depends on nothing but its prompt and these numbers. The penalties of the model's own
    generation configuration aren't applied. `known_ways` remembers which way of continuing texts fits this model, for
    the next call.

    Raises:
        SettingsError: a setting that can't work, or a prompt that is empty or fills the model's context.
        TunescopeError: the model can't be run on token ids alone.
    """
    if max_new_tokens < 1 or batch_size < 1:
        raise SettingsError(f"max_new_tokens {max_new_tokens}, batch_size {batch_size}: expected at least 1 each")
    if not all(prompts):
        raise SettingsError("found a prompt without tokens; expected at least one token in each")
    if sampling is not None and not (sampling.temperature > 0 and 0 < sampling.top_p <= 1):
        raise SettingsError(f"{sampling}: expected a temperature above 0 and a top_p above 0 and up to 1")
    if sampling is not None and len(draws) != len(prompts):
        raise SettingsError(f"{len(draws)} random number generators for {len(prompts)} prompts; expected one each")
    context = context_of(model)
    longest = max(map(len, prompts), default=0)
    if context is not None and longest >= context:
        raise SettingsError(f"a prompt has {longest:,} tokens; the model's context holds {context:,} with the answer")
    stops = stop_ids(model, tokenizer) | _added_ids(tokenizer, until)
    reach = longest + max_new_tokens if context is None else min(longest + max_new_tokens, context)
    for beginning, numbers in _groups(prompts):
        way = _choose_way(model, reach, bool(beginning), {} if known_ways is None else known_ways)
        batch = _Batch(model, way, beginning)
        if batch.way not in _BATCHED and batch_size > 1:
            batch_size = 1
            cache = "its cache can't take several texts" if batch.way == "single" else _NO_CACHE
            say(f"{type(model).__name__} answers one prompt at a time: {cache}")
        waiting = sorted(numbers, key=lambda i: (len(prompts[i]), -i))
        while waiting or batch.rows:
            if waiting and len(batch.rows) <= (3 * batch_size // 4 if batch.can_grow else 0):
                added = [waiting.pop() for _ in range(min(len(waiting), batch_size - len(batch.rows)))]
                room = [context - len(prompts[i]) if context is not None else max_new_tokens for i in added]
                rows = [_Row(i, [], min(max_new_tokens, limit)) for i, limit in zip(added, room, strict=True)]
                logits = batch.add(rows, [prompts[i] for i in added])
            else:
                rows, logits = batch.rows, batch.step()
            chosen = logits.argmax(-1).tolist() if sampling is None else _draw(logits, sampling, rows, draws)
            for row, token in zip(rows, chosen, strict=True):
                row.tokens.append(token)
            ended = {row.number: _end(tokenizer, row, stops, until) for row in rows}
            finished = [row for row in rows if ended[row.number] is not None]
            batch.remove(finished)
            yield from ((number, generated) for number, generated in ended.items() if generated is not None)


def _groups(prompts: Sequence[Sequence[int]]) -> Iterator[tuple[Sequence[int], list[int]]]:
    """Yield the beginning that saves most, where it saves enough, with its prompts' numbers; and then the others'.

    A beginning saves its tokens for each prompt but one that has it, and is shorter than each. Equal prompts count
    once: they are read once anyway.
    """
    numbers_of: dict[tuple[int, ...], list[int]] = {}
    for number, prompt in enumerate(prompts):
        numbers_of.setdefault(tuple(prompt), []).append(number)
    unique = sorted(numbers_of)
    length, first, last = _most_shared([_count_shared(one, other) for one, other in pairwise(unique)])
    if length * (last - first) >= _WORTH_SHARING:
        sharing, unique = unique[first : last + 1], unique[:first] + unique[last + 1 :]
        yield sharing[0][:length], [number for prompt in sharing for number in numbers_of[prompt]]
    if unique:
        yield (), [number for prompt in unique for number in numbers_of[prompt]]


def _count_shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two prompts begin with alike, short of the shorter one's last."""
    most = min(len(one), len(other)) - 1
    return next((place for place in range(most) if one[place] != other[place]), most)


def _most_shared(shared: Sequence[int]) -> tuple[int, int, int]:
    """Return the length of a beginning and the first and last of the sorted prompts that have it, where most is saved.

    `shared` are the tokens that each prompt begins with like the next: the largest rectangle under their curve.
    """
    best, open_from = (0, 0, 0), list[tuple[int, int]]()  # where a rectangle of a height began
    for place, height in enumerate((*shared, 0)):
        start = place
        while open_from and open_from[-1][1] >= height:
            start, tall = open_from.pop()
            best = max(best, (tall, start, place), key=lambda each: each[0] * (each[2] - each[1]))
        open_from.append((start, height))
    return best


def _end(
    tokenizer: PreTrainedTokenizerBase, row: _Row, stops: frozenset[int], until: Sequence[str]
) -> Generated | None:
    """Return the response of a row that its last token ends; None where it goes on."""

    def decode(tokens: Sequence[int]) -> str:
        return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    if row.tokens[-1] in stops:
        tokens = tuple(row.tokens[:-1])
        return Generated(_before(decode(tokens), until)[0], tokens, "stop")
    is_last = len(row.tokens) == row.limit
    tail = row.tokens[-4 * max(map(len, until), default=0) :]  # a character has four tokens at most
    if is_last or (until and _before(decode(tail), until)[1]):
        text, is_stopped = _before(decode(row.tokens), until)
        return Generated(text, tuple(row.tokens), "stop" if is_stopped else "length") if is_stopped or is_last else None
    return None


def _before(text: str, until: Sequence[str]) -> tuple[str, bool]:
    """Return what stands before the first of some texts, and whether one of them is there."""
    places = [place for each in until if (place := text.find(each)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def split_generated(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], generated: Generated) -> SplitText:
    """Take the thoughts off a response, also where the prompt opens them, or special tokens mark them.

    A response without thoughts has the text that `stream` gave it.
    """

    def decode(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    opened = opening_mark(decode(prompt[-_HEADER_TOKENS:]))
    text, thinking = split_thoughts(opened + decode(generated.token_ids), generated.finish_reason == "stop")
    if thinking is None:
        return SplitText(generated.text)
    for token in tokenizer.all_special_tokens:
        text, thinking = text.replace(token, ""), thinking.replace(token, "")
    return SplitText(text, thinking)


def _draw(logits: Any, sampling: Sampling, rows: Sequence[_Row], draws: Sequence[Random]) -> list[int]:
    """Draw a token per row by its next random number u: the first whose cumulative probability exceeds u."""
    from tunescope.models.lazy import require

    torch = require("torch")
    p = (logits.double() / sampling.temperature).softmax(-1)
    tokens = None
    if sampling.top_p < 1:
        p, tokens = p.sort(descending=True, stable=True)
        p = p * (p.cumsum(-1) - p < sampling.top_p)  # a token stays while those before it don't reach top_p
    cumulative = p.cumsum(-1)
    u = torch.tensor([[draws[row.number].random()] for row in rows], dtype=p.dtype, device=p.device)
    places = torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True)
    places = places.clamp(max=p.shape[-1] - 1)
    chosen = places if tokens is None else tokens.gather(-1, places)
    return [int(token) for (token,) in chosen.tolist()]


def _choose_way(model: PreTrainedModel, length: int, is_shared: bool, known: KnownWays) -> str:
    """Return the first of `_WAYS` that gives the model's own log-probabilities for texts of up to a length.

    The first of all is tried only where the texts share a beginning.

    Raises:
        TunescopeError: the model can't be run on token ids alone.
    """
    change = last_change(model, 0, length)
    context = context_of(model)
    far = max(_LONG, 0 if change is None else min(2 * change, context or 2 * change) - _LONG)
    probed = (far, change, is_shared)
    if probed not in known:
        known[probed] = _probe_ways(model, *probed)
    return known[probed]


def _probe_ways(model: PreTrainedModel, far: int, change: int | None, is_shared: bool) -> str:
    """Return the first way that agrees with the model on texts of up to `far` tokens, and beyond a `change` in it."""
    failure = ""
    for in_single_precision in (True, False):
        try:
            with in_float32(model) if in_single_precision else nullcontext(False) as is_exact:
                probe = _GenerationProbe(model, far, change)
                way = next(way for way in (_WAYS if is_shared else _WAYS[1:]) if probe.agrees(way, is_exact))
                if way == "uncached" and not probe.repeats():
                    raise TunescopeError(
                        f"{type(model).__name__} can't answer: it gives other probabilities each time it is run"
                    )
                return way
        except FAILURES as error:  # some architectures name their number format, and can't be widened
            failure = reason_of(error)
    raise TunescopeError(f"{type(model).__name__} can't answer: its forward pass fails on token ids alone ({failure})")


class _GenerationProbe:
    """Random texts, and what the model itself expects behind some of their beginnings.

    A short one that ends early, a long one, one that joins late, and one that grows beyond where attention changes.
    """

    def __init__(self, model: PreTrainedModel, length: int, change: int | None) -> None:
        self.model = model
        short = _BEGINNING + _SHORT
        self.prompts = (short, max(length, short), short + 1, *(() if change is None else (max(change - 1, short),)))
        self.beginning, *texts = random_ids(model, [_BEGINNING, *(max(n - _BEGINNING, 1) + 4 for n in self.prompts)])
        self.texts = [[*self.beginning, *text] for text in texts]
        compared = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 3), (2, 0), (2, 1)]  # a text, and how many tokens it has grown
        compared += [] if change is None else [(3, grown) for grown in range(4)]
        self.own = self._run(compared)

    def _run(self, compared: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Any]:
        """Return the model's own log-probabilities behind beginnings: of a text, with how many tokens it has grown."""
        return {
            (text, grown): own_logits(self.model, self.texts[text][: self.prompts[text] + grown], 1)[0].log_softmax(-1)
            for text, grown in compared
        }

    def agrees(self, way: str, is_exact: bool) -> bool:
        """Tell whether a way of continuing texts gives the model's own log-probabilities, up to rounding."""
        if way == "uncached":
            return True  # they are the model's own
        try:
            compared = self._batched(way) if way in _BATCHED else self._alone(way, range(len(self.texts)))
            apart = [(own - ours).abs() for own, ours in compared]
        except FAILURES:
            return False
        if is_exact:
            return all(float(each.max()) < (TOLERANCE if way in _BATCHED else _CACHED) for each in apart)
        return all(float(each.mean()) < _ROUNDING for each in apart)

    def repeats(self) -> bool:
        """Tell whether the model gives the same log-probabilities when it is run again."""
        again = self._run(self.own)
        return all(float((own - again[place]).abs().max()) < TOLERANCE for place, own in self.own.items())

    def _batched(self, way: str) -> Iterator[tuple[Any, Any]]:
        """Yield the model's own log-probabilities and those of a batch that a row leaves and another joins."""
        batch = _Batch(self.model, way, self.beginning)
        yield from self._add(batch, 0, 1)
        yield from self._step(batch)
        yield from self._step(batch)
        batch.remove(batch.rows[:1])
        yield from self._step(batch)
        if batch.can_grow:
            yield from self._add(batch, 2)
            yield from self._step(batch)
        yield from self._alone(way, range(3, len(self.texts)))

    def _alone(self, way: str, texts: Iterable[int]) -> Iterator[tuple[Any, Any]]:
        """Yield the model's own log-probabilities and those of one text after the other."""
        for text in texts:
            batch = _Batch(self.model, way, self.beginning)
            yield from self._add(batch, text)
            for _ in range(3):
                yield from self._step(batch)

    def _add(self, batch: _Batch, *texts: int) -> Iterator[tuple[Any, Any]]:
        rows = [_Row(text, [], 0) for text in texts]
        logits = batch.add(rows, [self.texts[text][: self.prompts[text]] for text in texts])
        yield from self._compare(rows, logits)

    def _step(self, batch: _Batch) -> Iterator[tuple[Any, Any]]:
        for row in batch.rows:
            row.tokens.append(self.texts[row.number][self.prompts[row.number] + len(row.tokens)])
        yield from self._compare(batch.rows, batch.step())

    def _compare(self, rows: Sequence[_Row], logits: Any) -> Iterator[tuple[Any, Any]]:
        for row, ours in zip(rows, logits, strict=True):
            own = self.own.get((row.number, len(row.tokens)))
            if own is not None:
                yield own, ours.log_softmax(-1)


class _Batch:
    """Rows that are continued together: their cache of keys and values, padded on the left and masked.

    In the other ways it is one row: its cache as the architecture has it, or its text. In the way `shared` every prompt
    begins with `beginning`, and is longer.
    """

    def __init__(self, model: PreTrainedModel, way: str, beginning: Sequence[int] = ()) -> None:
        from tunescope.models.lazy import require

        self.torch, cache_utils = require("torch"), require("transformers.cache_utils")
        self.model: Any = model
        self.way = way
        self.rows: list[_Row] = []
        self._text: list[int] = []
        self._beginning = beginning if way == "shared" else ()
        self._begun: Any = None
        self.cache: Any = None
        self.mask: Any = None
        self._growing_layer = cache_utils.DynamicLayer
        parameters = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in parameters
        self._options: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        if "use_cache" in parameters:
            self._options["use_cache"] = True
        self._cache_name = next((name for name in _CACHES if name in parameters), _CACHES[0])

    @property
    def can_grow(self) -> bool:
        """Tell whether rows may join: a cache can be padded where all layers keep all keys."""
        return not self.rows or all(
            type(layer) is self._growing_layer for layer in getattr(self.cache, "layers", [None])
        )

    def add(self, rows: list[_Row], prompts: Sequence[Sequence[int]]) -> Any:
        """Read the rows' prompts and join them; return the logits of their first tokens [rows, vocabulary]."""
        if self.way not in _BATCHED:
            ((row,), (prompt,)) = rows, prompts
            self.rows, self.cache, self._text = [row], None, list(prompt)
            return self._read_alone(self._text)
        lines = {prompt: line for line, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
        logits, cache, mask = self._read(list(lines))
        if len(lines) < len(prompts):
            line_of = self.torch.tensor([lines[tuple(prompt)] for prompt in prompts], device=mask.device)
            cache.batch_select_indices(line_of)
            logits, mask = logits[line_of], mask[line_of]
        if self.rows:
            self._join(cache, mask)
        else:
            self.cache, self.mask = cache, mask
        self.rows = [*self.rows, *rows]
        return logits

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, Any, Any]:
        """Read prompts; return the logits of their first tokens [prompts, vocabulary], their cache and its mask."""
        torch, known = self.torch, len(self._beginning)
        longest = max(map(len, prompts)) - known
        ids = torch.zeros((len(prompts), longest), dtype=torch.long)
        mask = torch.ones((len(prompts), known + longest), dtype=torch.long)
        for line, prompt in enumerate(prompts):
            n = len(prompt) - known
            ids[line, longest - n :] = torch.tensor(prompt[known:])
            mask[line, known : known + longest - n] = 0
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, known:]
        logits, cache = self._forward(ids, mask, positions, self._begin(len(prompts)) if known else None)
        return logits, cache, mask

    def _begin(self, lines: int) -> Any:
        """Return a cache that holds the common beginning in each of its lines."""
        torch = self.torch
        if self._begun is None:
            ids = torch.tensor([list(self._beginning)], device=self.model.device)
            _, self._begun = self._forward(ids, torch.ones_like(ids), torch.arange(ids.shape[1]).to(ids)[None], None)
            if any(type(layer) is not self._growing_layer for layer in self._begun.layers):
                raise NotImplementedError("layers that don't keep all keys")  # the probe catches it
        with torch.inference_mode():
            cache = deepcopy(self._begun)
            cache.batch_repeat_interleave(lines)
        return cache

    def step(self) -> Any:
        """Read each row's last token; return the logits of its next [rows, vocabulary]."""
        if self.way not in _BATCHED:
            (row,) = self.rows
            self._text.append(row.tokens[-1])
            return self._read_alone(self._text[-1:])
        torch = self.torch
        ids = torch.tensor([[row.tokens[-1]] for row in self.rows], device=self.model.device)
        self.mask = torch.cat([self.mask, torch.ones_like(ids)], dim=-1)
        positions = self.mask.sum(-1, keepdim=True) - 1
        logits, self.cache = self._forward(ids, self.mask, positions, self.cache)
        return logits

    def remove(self, rows: Sequence[_Row]) -> None:
        """Take finished rows out, and the columns that were theirs alone."""
        if not rows:
            return
        removed = {row.number for row in rows}
        kept_lines = [line for line, row in enumerate(self.rows) if row.number not in removed]
        self.rows = [self.rows[line] for line in kept_lines]
        if not kept_lines:
            self.cache = self.mask = None
            return
        kept = self.torch.tensor(kept_lines, device=self.mask.device)
        self.cache.batch_select_indices(kept)
        self.mask = self.mask[kept]
        empty = int(self.mask.any(0).int().argmax())
        if empty and self.can_grow:
            self.mask = self.mask[:, empty:]
            for layer in self.cache.layers:
                layer.keys, layer.values = layer.keys[:, :, empty:], layer.values[:, :, empty:]

    def _read_alone(self, new: Sequence[int]) -> Any:
        """Read the only row's new tokens, without a cache all of them; return the logits [1, vocabulary]."""
        if self.way == "uncached":
            return own_logits(self.model, self._text, 1)
        ids = self.torch.tensor([list(new)], device=self.model.device)
        options = dict(self._options) if self.cache is None else {**self._options, self._cache_name: self.cache}
        if self._takes_positions:
            options["position_ids"] = self.torch.arange(len(self._text) - len(new), len(self._text), device=ids.device)[
                None
            ]
        with self.torch.inference_mode():
            out = self.model(input_ids=ids, **options)
        self.cache = out[self._cache_name]
        return out.logits[:, -1].float()

    def _forward(self, ids: Any, mask: Any, positions: Any, cache: Any) -> tuple[Any, Any]:
        where = {"position_ids": positions} if self._takes_positions else {}
        with self.torch.inference_mode():
            out = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache, **where, **self._options)
        return out.logits[:, -1].float(), out.past_key_values

    def _join(self, cache: Any, mask: Any) -> None:
        torch = self.torch
        width = max(self.mask.shape[-1], mask.shape[-1])

        def pad(tensor: Any, dim: int) -> Any:
            """Pad on the left, along the positions, to the common width."""
            missing = width - tensor.shape[dim]
            return torch.nn.functional.pad(tensor, (0,) * (2 * (-1 - dim)) + (missing, 0))

        with torch.inference_mode():
            self.mask = torch.cat([pad(self.mask, -1), pad(mask, -1)])
            for ours, theirs in zip(self.cache.layers, cache.layers, strict=True):
                ours.keys = torch.cat([pad(ours.keys, -2), pad(theirs.keys, -2)])
                ours.values = torch.cat([pad(ours.values, -2), pad(theirs.values, -2)])
