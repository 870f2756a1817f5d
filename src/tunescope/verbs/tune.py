"""`tune`: fine-tune a model on rows, with LoRA or in full, the same way every time.

TRL's `SFTTrainer` and PEFT do the training; what is supervised, the order of rows and the loss
over them are ours, so that they are known.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tunescope import runs
from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.embedded import DEFAULT, EMBEDDED, MARKER
from tunescope.progress import progress, say
from tunescope.runs import INPUT, PACE, Outcome, Run, RunFolder
from tunescope.settings import RowsSettings
from tunescope.views import Table, View

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.chat import Chat, Tokens
    from tunescope.models import Loaded
    from tunescope.rows import Row, RowSet

VERSION = 1
DEFAULT_LR = {"lora": 2e-4, "full": 2e-5}
IGNORED = -100
"""Label of a token that isn't supervised, torch's default."""
MICRO_BATCH = 2
"""On CPU: 4 is 8 % faster per token but pads 18 % more (the demo's rows); 1 is 25 % slower per token."""


@dataclass(frozen=True, kw_only=True)
class TuneSettings(RowsSettings):
    """Fine-tune a model on rows, with LoRA or in full."""

    model: str = field(default=DEFAULT, metadata=INPUT)
    """The model to start from: an embedded name, a model folder or a hub id."""

    method: Literal["lora", "full"] = "lora"
    """Train a LoRA adapter, or all weights."""

    epochs: float = 2.0
    """How often each row is seen."""

    max_steps: int | None = None
    """Stop after this many optimizer steps instead of after --epochs; rows come round again if need be."""

    lr: float | None = None
    """Highest learning rate; 2e-4 for lora and 2e-5 for full by default."""

    batch_size: int = 8
    """Rows per optimizer step."""

    micro_batch: int = field(default=MICRO_BATCH, metadata=PACE)
    """Rows in memory at a time; the largest divisor of --batch-size up to this is used."""

    max_length: int = 1024
    """Longest row in tokens; what is beyond is cut off."""

    lora_rank: int = 16
    """Rank of the adapter; its alpha is twice this, its dropout 0."""

    lora_targets: str = "all-linear"
    """Layers that get an adapter: all-linear (the output layer left out), or names with commas between."""

    warmup: float = 0.03
    """Share of the steps over which the learning rate rises, before it falls linearly to 0."""

    seed: int = 0
    """Decides the order of rows and the adapter's first weights."""

    out: str | None = runs.out_field()
    """The run folder; runs/tune-KEY by default."""


class Example(NamedTuple):
    """A row on its way into training: its tokens (None: not trained), and what is to be said of it."""

    row_id: str
    tokens: Tokens | None
    n_tokens: int
    reason: str = ""

    @property
    def truncated(self) -> bool:
        """Whether it is trained on without its end."""
        return self.tokens is not None and len(self.tokens.ids) < self.n_tokens


class StepRecord(NamedTuple):
    """One optimizer step; `loss` is the mean over its `tokens` supervised tokens, in nats."""

    step: int
    epoch: float
    loss: float
    lr: float
    tokens: int


def tune(settings: TuneSettings) -> Run:
    """Fine-tune; return the run with `model/`, `metrics.jsonl` and the table `rows`.

    `model/` is a folder that transformers loads (full) or PEFT loads (lora). `rows` has row_id,
    n_tokens (before cutting), n_supervised (that were trained), truncated and reason; every row
    is in it, in file order. A killed run starts over and ends with the same weights.

    Raises:
        InputError, SettingsError, TunescopeError: in one sentence each.
        MissingPackageError: torch, transformers, trl or peft isn't installed.
    """
    from tunescope.models import fingerprint
    from tunescope.models.load import is_adapter
    from tunescope.rows import open_rows

    _refuse_nonsense(settings)
    if settings.method == "lora" and is_adapter(settings.model):
        raise SettingsError(
            f"{settings.model} is an adapter, and an adapter on an adapter can't be kept; "
            "type --method full, or --model with its base"
        )
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    inputs = rows.inputs | {f"model {settings.model}": fingerprint(settings.model)}
    return runs.execute("tune", VERSION, settings, inputs, partial(_work, settings, rows))


def _refuse_nonsense(settings: TuneSettings) -> None:
    for name in ("batch_size", "micro_batch", "max_length", "lora_rank", "max_steps"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise SettingsError(f"--{name.replace('_', '-')} {value}: expected at least 1")
    if settings.epochs <= 0:
        raise SettingsError(f"--epochs {settings.epochs}: expected more than 0")
    if settings.lr is not None and not 0 < settings.lr < 1:
        raise SettingsError(f"--lr {settings.lr}: expected a number above 0 and below 1")
    if not 0 <= settings.warmup < 1:
        raise SettingsError(f"--warmup {settings.warmup}: expected a share of the steps, from 0 to below 1")


def _work(settings: TuneSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    from tunescope.chat import Chat
    from tunescope.models import load, quiet, stop_ids

    loaded = load(settings.model)
    chat = Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer))
    limit = min(settings.max_length, getattr(loaded.model.config, "max_position_embeddings", settings.max_length))
    if limit < settings.max_length:
        say(f"rows are cut to {limit} tokens: the model takes no more")
    with quiet():
        examples = [_example(chat, row, limit) for row in rows]
    trained = sum(example.tokens is not None for example in examples)
    if not trained:
        reasons = "; ".join(sorted({example.reason for example in examples}))
        raise TunescopeError(f"none of the {len(examples)} rows has anything to train on ({reasons})")
    start = monotonic()
    records = _train(settings, loaded, examples, folder)
    tokens = sum(record.tokens for record in records)
    say(f"{len(records)} steps, {tokens / (monotonic() - start):,.0f} supervised tokens per second")
    folder.records("metrics", (record._asdict() for record in records))
    folder.table("rows", _table(examples))
    return _outcome(settings, folder, examples, records)


def _example(chat: Chat, row: Row, max_length: int) -> Example:
    from tunescope.chat import Unrenderable

    try:
        whole = chat.row(row)
    except Unrenderable as refused:
        return Example(row.id, None, 0, str(refused))
    tokens, n = whole.cut(max_length), len(whole.ids)
    if tokens.n_supervised == 0:
        reason = f"its answer begins behind the first {max_length} tokens"
        if whole.n_supervised == 0:
            reason = "no assistant turn that is trained"
        return Example(row.id, None, n, reason)
    if n > max_length:
        return Example(row.id, tokens, n, f"cut to {max_length} tokens")
    if not any((message.content or "").strip() or message.tool_calls for _, _, message in row.turns()):
        return Example(row.id, tokens, n, "empty answer: only its end is trained")
    return Example(row.id, tokens, n)


def order(n: int, steps: int, batch_size: int, seed: int) -> list[int]:
    """Return the numbers of the rows in the order of training, `steps` x `batch_size` of them.

    It depends on nothing but these: two sets that differ in some responses only, or in which rows
    can be trained, are seen in the same order, a row for a row.
    """
    places: list[int] = []
    epoch = 0
    while len(places) < steps * batch_size:
        numbers = list(range(n))
        Random(f"{seed}/order/{epoch}").shuffle(numbers)
        places += numbers
        epoch += 1
    return places[: steps * batch_size]


def _train(settings: TuneSettings, loaded: Loaded, examples: list[Example], folder: RunFolder) -> list[StepRecord]:
    """Train, write `model/`, return a record per step."""
    from tunescope.models import quiet
    from tunescope.models.load import imported

    n, size = len(examples), settings.batch_size
    steps = settings.max_steps or max(1, math.ceil(n * settings.epochs / size))
    micro = max(d for d in range(1, size + 1) if size % d == 0 and (d <= settings.micro_batch or d == 1))
    lr = settings.lr or DEFAULT_LR[settings.method]
    say(
        f"tuning {settings.model} ({settings.method}): {steps} steps of {size} rows, lr {lr:g}"
        + ("" if settings.lr else f" (the default for {settings.method})")
    )
    datasets, peft, trl = imported("datasets"), imported("peft"), imported("trl")
    from tunescope.models.trainer import RecordedTrainer, keep_memory

    keep_memory()
    places = order(n, steps, size, settings.seed)
    if settings.max_steps is None:
        places = places[: max(1, round(n * settings.epochs))]
    lengths = [len(example.tokens.ids) if example.tokens else 1 for example in examples]
    for first in range(0, len(places), size):  # within a step, rows of like length share a micro-batch
        places[first : first + size] = sorted(places[first : first + size], key=lambda i: (-lengths[i], i))
    adapter = None
    if settings.method == "lora":
        targets = settings.lora_targets
        adapter = peft.LoraConfig(
            r=settings.lora_rank,
            lora_alpha=2 * settings.lora_rank,
            lora_dropout=0.0,
            target_modules=targets if targets == "all-linear" else targets.split(","),
            task_type="CAUSAL_LM",
        )
    with quiet(), progress("steps", steps) as update:
        config = trl.SFTConfig(
            output_dir=str(folder.scratch / "trainer"),
            num_train_epochs=1,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=size // micro,
            learning_rate=lr,
            lr_scheduler_type="linear",
            warmup_steps=int(settings.warmup * steps),
            optim="adamw_torch_fused",
            weight_decay=0.0,
            max_grad_norm=1.0,
            seed=settings.seed,
            train_sampling_strategy="sequential",
            max_length=None,
            packing=False,
            shuffle_dataset=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        dataset = datasets.Dataset.from_list([_columns(example) for example in examples]).select(places)
        try:
            trainer = RecordedTrainer(
                model=loaded.model,
                args=config,
                train_dataset=dataset,
                processing_class=loaded.tokenizer,
                peft_config=adapter,
            )
        except ValueError as error:
            if "target modules" not in str(error).lower():
                raise
            raise SettingsError(f"--lora-targets {settings.lora_targets}: the model has no such layers") from error
        trainer.report_to(update)
        trainer.train()
    _save(settings, loaded, trainer.model, folder)
    return [StepRecord(i, min(i * size, len(places)) / n, *r) for i, r in enumerate(trainer.records, 1)]


def _columns(example: Example) -> dict[str, list[int]]:
    """Return what is trained on; a row that isn't holds its place with a token that isn't supervised."""
    if example.tokens is None:
        return {"input_ids": [0], "labels": [IGNORED]}
    ids, supervised = example.tokens.ids, example.tokens.supervised
    labels = [i if trained else IGNORED for i, trained in zip(ids, supervised, strict=True)]
    return {"input_ids": list(ids), "labels": labels}


def _save(settings: TuneSettings, loaded: Loaded, model: Any, folder: RunFolder) -> None:
    from tunescope.models import quiet
    from tunescope.models.load import source

    part, target = folder.scratch / "model", folder.path / "model"
    shutil.rmtree(part, ignore_errors=True)
    with quiet():
        if settings.method == "lora":
            # PEFT looks here for the base; our own loader goes by its name, in tunescope.json
            config = model.peft_config["default"]
            config.base_model_name_or_path = source(settings.model)
            config.target_modules = sorted(config.target_modules)
            model.save_pretrained(part, save_embedding_layers=False)
            known = settings.model in EMBEDDED or not Path(settings.model).is_dir()
            base = settings.model if known else str(Path(settings.model).resolve())
            marker = {"base": base, "base_hash": loaded.hash}
            (part / MARKER).write_text(json.dumps(marker, indent=1) + "\n", "utf-8")
        else:
            model.save_pretrained(part)
        loaded.tokenizer.save_pretrained(part)
    (part / "README.md").unlink(missing_ok=True)  # PEFT's form, to be filled in
    shutil.rmtree(target, ignore_errors=True)
    os.replace(part, target)


def _table(examples: list[Example]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "row_id": [e.row_id for e in examples],
            "n_tokens": pa.array([e.n_tokens for e in examples], pa.int32()),
            "n_supervised": pa.array([e.tokens.n_supervised if e.tokens else 0 for e in examples], pa.int32()),
            "truncated": [example.truncated for example in examples],
            "reason": pa.array([e.reason or None for e in examples], pa.string()),
        }
    )


def _outcome(settings: TuneSettings, folder: RunFolder, examples: list[Example], records: list[StepRecord]) -> Outcome:
    tenth = math.ceil(len(records) / 10)
    first, last = records[:tenth], records[-tenth:]
    trained = sum(example.tokens is not None for example in examples)
    path = str(folder.path / "model")
    result: dict[str, Any] = {
        "rows": len(examples),
        "trained": trained,
        "dropped": len(examples) - trained,
        "truncated": sum(example.truncated for example in examples),
        "steps": len(records),
        "loss_first": sum(record.loss for record in first) / tenth,
        "loss_last": sum(record.loss for record in last) / tenth,
        "tokens": sum(record.tokens for record in records),
        "model": path,
    }
    numbers = Table(
        "Training",
        ("rows", "trained", "dropped", "steps", "supervised tokens", "loss_first", "loss_last"),
        (tuple(result[key] for key in ("rows", "trained", "dropped", "steps", "tokens", "loss_first", "loss_last")),),
        f"loss_first and loss_last are means over the first and last 10 % of steps ({tenth}) of the step's loss: "
        "nats per supervised token (the assistant's, with the end of its turn).",
    )
    said = Counter((example.reason, example.tokens is not None) for example in examples if example.reason)
    tables = [numbers]
    if said:
        cells = tuple(
            (reason, "trained" if kept else "dropped", count, next(e.row_id for e in examples if e.reason == reason))
            for (reason, kept), count in sorted(said.items(), key=lambda item: (-item[1], item[0]))
        )
        tables.append(Table("Rows to look at", ("reason", "", "rows", "for example"), cells))
    sentence = (
        f"Tuned {settings.model} ({settings.method}) on {trained} of {len(examples)} rows in {len(records)} steps; "
        f"the model is in {path}."
    )
    return Outcome(result, View((sentence,), tuple(tables)))
