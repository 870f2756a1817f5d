"""`tune`: fine-tune a model on rows, with LoRA or in full, the same way every time.

TRL's `SFTTrainer` and PEFT do the training; what is supervised, the order of rows, the loss over
them and the checkpoints are ours, so that they are known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from tunescope import runs
from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.settings import ModelSettings
from tunescope.progress import say
from tunescope.results.tune import TunedRows, TuneResult, TuneStep
from tunescope.runs import NOT_IN_KEY, Outcome, Run, RunFolder
from tunescope.settings import RowsSettings
from tunescope.verbs.tune.launch import Launch
from tunescope.verbs.tune.plan import Example, order
from tunescope.verbs.tune.presets import filled
from tunescope.views import Table, View

if TYPE_CHECKING:
    from tunescope.rows import RowSet
    from tunescope.verbs.tune.train import StepRecord

__all__ = ["TuneSettings", "order", "tune"]

VERSION = 2
MICRO_BATCH = 2
"""On CPU: 4 is 8 % faster per token but pads 18 % more (the demo's rows); 1 is 25 % slower per token."""
PREVIEWED = 3
NAMED = 3
"""Row ids named per reason in the view; the table `rows` has them all."""


@dataclass(frozen=True, kw_only=True)
class TuneSettings(ModelSettings, RowsSettings):
    """Fine-tune a model on rows, with LoRA or in full."""

    method: Literal["lora", "full"] = "lora"
    """Train a LoRA adapter, or all weights."""

    preset: Literal["faco", "limits", "recycled"] | None = field(default=None, metadata=NOT_IN_KEY)
    """A paper's settings where nothing else is typed: faco (paper 1), limits (paper 2) or recycled (paper 3)."""

    epochs: float | None = field(default=None, metadata={"alias": ("num_train_epochs", "num_epochs")})
    """How often each row is seen; 2 by default."""

    max_steps: int | None = None
    """Stop after this many optimizer steps instead of after --epochs; rows come round again if need be."""

    lr: float | None = field(default=None, metadata={"alias": ("learning_rate",)})
    """Highest learning rate; 2e-4 for lora and 2e-5 for full by default."""

    lr_scheduler: Literal["linear", "cosine", "constant"] | None = field(
        default=None, metadata={"alias": ("lr_scheduler_type",)}
    )
    """How the learning rate goes on after --warmup: down to 0 (linear, the default, or cosine) or constant."""

    warmup: float | None = field(default=None, metadata={"alias": ("warmup_ratio",)})
    """Share of the steps over which the learning rate rises; 0.03 by default."""

    batch_size: int | None = field(
        default=None,
        metadata={"near": ("per_device_train_batch_size", "gradient_accumulation_steps", "micro_batch_size")},
    )
    """Rows per optimizer step, over all processes; 8 by default."""

    micro_batch: int = field(default=MICRO_BATCH, metadata=NOT_IN_KEY)
    """Rows in memory at a time, per process."""

    packing: bool = field(default=False, metadata={**NOT_IN_KEY, "alias": ("sample_packing",)})
    """Lay whole rows end to end, up to --max-length tokens at a time, each blind to the others; no padding."""

    max_length: int | None = field(
        default=None, metadata={"alias": ("cutoff_len", "sequence_len", "max_seq_length", "max_seq_len")}
    )
    """Longest row in tokens, 1024 by default; what is beyond is cut off."""

    lora_rank: int | None = field(default=None, metadata={"alias": ("lora_r",)})
    """Rank of the adapter, 16 by default; its alpha is twice this, its dropout 0."""

    lora_targets: str | None = field(default=None, metadata={"alias": ("lora_target", "lora_target_modules")})
    """Layers that get an adapter: all-linear (the default; the output layer left out), or names with commas between."""

    neftune_alpha: float | None = field(default=None, metadata={"alias": ("neftune_noise_alpha",)})
    """NEFTune: noise on the embeddings while training, uniform in ±ALPHA/√(tokens of the row · width)."""

    seed: int = 0
    """Decides the order of rows, the adapter's first weights and the noise."""

    checkpoint_minutes: float = field(default=10.0, metadata=NOT_IN_KEY)
    """A killed run goes on from its last checkpoint: written after each epoch, and every so many minutes."""

    keep_checkpoints: bool = False
    """Keep the model of each epoch, as checkpoints/epoch-N."""

    track: Literal["wandb", "mlflow", "trackio"] | None = field(default=None, metadata=NOT_IN_KEY)
    """Also send the losses to a tracker, whose package must be installed."""

    command: str | None = field(default=None, metadata={"verbatim": True})
    """Let another trainer do it: a command with {rows}, {out} and, if need be, {model} and {seed} in it."""

    out: str | None = runs.out_field()
    """The run folder; runs/tune-KEY by default."""


def tune(settings: TuneSettings) -> Run:
    """Fine-tune; return the run with `model/`, `metrics.jsonl` and the table `rows`.

    `model/` is a folder that transformers loads (full) or PEFT loads (lora). `rows` has row_id,
    n_tokens (before cutting), n_supervised (that were trained), truncated and reason; every row
    is in it, in file order. `metrics` has step, epoch, loss (loss_with_noise under NEFTune), lr and
    tokens. A killed run goes on from its last checkpoint and ends with the same weights. Under
    `accelerate launch` all processes train, and the first writes.

    Raises:
        InputError, SettingsError, TunescopeError: in one sentence each.
        MissingPackageError: torch, transformers, trl, peft or bitsandbytes isn't installed.
        WorkError: --command failed, or the loss is no number.
    """
    from tunescope.models import inputs_of
    from tunescope.models.load import device_of
    from tunescope.rows import open_rows
    from tunescope.verbs.tune import command

    settings, said = filled(settings)
    _refuse_nonsense(settings)
    weights = _weights(settings)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    launch = Launch.here()
    inputs = rows.inputs | inputs_of(weights)
    if settings.command is not None:
        work = partial(command.run, settings, rows)
    else:
        work = partial(_work, settings, weights, rows, launch, said)
    device = device_of(settings)

    def begin(work: Any) -> Run:
        return runs.execute("tune", VERSION, settings, inputs, work, device)

    return launch.execute(begin, work, device == "cpu")


def _refuse_nonsense(settings: TuneSettings) -> None:
    from tunescope.models.lazy import require_quantizer
    from tunescope.models.load import is_adapter
    from tunescope.verbs.tune import command, train

    for name in ("batch_size", "micro_batch", "max_length", "lora_rank", "max_steps"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise SettingsError(f"--{name.replace('_', '-')} {value}: expected at least 1")
    if settings.epochs is not None and settings.epochs <= 0:
        raise SettingsError(f"--epochs {settings.epochs}: expected more than 0")
    if settings.lr is not None and not 0 < settings.lr < 1:
        raise SettingsError(f"--lr {settings.lr}: expected a number above 0 and below 1")
    if settings.warmup is not None and not 0 <= settings.warmup < 1:
        raise SettingsError(f"--warmup {settings.warmup}: expected a share of the steps, from 0 to below 1")
    if settings.neftune_alpha is not None and not 0 < settings.neftune_alpha < math.inf:
        raise SettingsError(f"--neftune-alpha {settings.neftune_alpha}: expected more than 0, such as 5")
    if settings.neftune_alpha is not None and settings.packing:
        raise SettingsError("--neftune-alpha with --packing: noise is by the length of a row alone; drop one of them")
    if settings.checkpoint_minutes < 0:
        raise SettingsError(f"--checkpoint-minutes {settings.checkpoint_minutes}: expected 0 or more")
    if settings.load is not None:
        if settings.method == "full":
            raise SettingsError(
                f"--method full with --load {settings.load}: quantised weights can't be trained; type --method lora"
            )
        require_quantizer(settings.load)
    if settings.track is not None:
        train.refuse_track(settings.track)
    if settings.command is not None:
        command.words(settings.command)
    elif settings.method == "lora" and is_adapter(settings.model):
        raise SettingsError(
            f"{settings.model} is an adapter, and an adapter on an adapter can't be kept; "
            "type --method full, or --model with its base"
        )


def _weights(settings: TuneSettings) -> ModelSettings:
    """Return how the model is loaded: for full tuning in float32, in which small steps aren't lost."""
    if settings.method == "full" and settings.dtype == "auto":
        return replace(settings, dtype="float32")
    return settings


def _work(
    settings: TuneSettings, weights: ModelSettings, rows: RowSet, launch: Launch, said: str | None, folder: RunFolder
) -> Outcome:
    from tunescope.chat import Chat, parse_template_args
    from tunescope.models import load, silence_libraries, stop_ids
    from tunescope.verbs.tune.plan import Plan, examples, list_rows, shown
    from tunescope.verbs.tune.train import refuse_packing, train

    if launch.processes > 1 and settings.device_map is None and not _on_cpu(settings):
        weights = replace(weights, device_map=f"cuda:{launch.local}")
    loaded = load(weights)
    template_args = parse_template_args(settings.template_arg)
    chat = Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer), settings.template, template_args)
    if settings.template or template_args:  # so that the tuned model answers in the form it was tuned in
        loaded.tokenizer.chat_template = chat.own_template()
    longest, size = settings.max_length or 0, settings.batch_size or 0
    limit = min(longest, getattr(loaded.model.config, "max_position_embeddings", longest))
    if limit < longest:
        say(f"rows are cut to {limit} tokens: the model takes no more")
    if settings.packing:
        refuse_packing(settings, loaded, limit)
    with silence_libraries():
        found = list(examples(chat, rows, limit))
    trained = sum(bool(example.parts) for example in found)
    if not trained:
        reasons = "; ".join(sorted({example.reason for example in found}))
        raise TunescopeError(f"none of the {len(found)} rows has anything to train on ({reasons})")
    n = len(found)
    steps = settings.max_steps or max(1, math.ceil(n * (settings.epochs or 0) / size))
    places = order(n, steps, size, settings.seed)
    if settings.max_steps is None:
        places = places[: max(1, round(n * (settings.epochs or 0)))]
    plan = Plan(found, places, size, settings.micro_batch, limit if settings.packing else None, settings.seed)
    if said:
        say(said)
    say(
        f"tuning {settings.model} ({settings.method}), {loaded.dtype} on {loaded.device}"
        + (f" with {launch.processes} processes" if launch.processes > 1 else "")
        + f": {steps} steps of {size} rows, lr {settings.lr:g}, {settings.lr_scheduler}"
    )
    first = [found[i] for i in dict.fromkeys(places) if found[i].parts][:PREVIEWED]
    preview = [(example.row_id, shown(chat, example)) for example in first]
    for row_id, text in preview:
        say(f"  {row_id}: {text}")
    for reason, fate, count, ids in _to_look_at(found):
        say(f"  {count:,} {'row' if count == 1 else 'rows'} {fate}: {reason} ({ids})")
    records, adapter = train(settings, loaded, plan, folder, launch)
    if not launch.leads:
        return Outcome({}, View(()))
    noised = settings.neftune_alpha is not None
    folder.records(TuneStep.NAME, (record.as_line(noised).as_json() for record in records))
    folder.table(TunedRows.NAME, list_rows(found).table())
    return _outcome(settings, folder, found, records, preview, adapter, said)


def _on_cpu(settings: TuneSettings) -> bool:
    from tunescope.models.load import device_of

    return device_of(settings) == "cpu"


def _to_look_at(found: Sequence[Example]) -> list[tuple[str, str, int, str]]:
    """Count the rows of which something is to be said: reason, whether trained, rows, the first ids."""
    said = Counter((example.reason, bool(example.parts)) for example in found if example.reason)
    out = []
    for (reason, kept), count in sorted(said.items(), key=lambda item: (-item[1], item[0])):
        ids = [example.row_id for example in found if example.reason == reason]
        out.append((reason, "trained" if kept else "dropped", count, ", ".join(ids[:NAMED])))
    return out


def _outcome(
    settings: TuneSettings,
    folder: RunFolder,
    found: Sequence[Example],
    records: Sequence[StepRecord],
    preview: Sequence[tuple[str, str]],
    adapter: str,
    said: str | None,
) -> Outcome:
    tenth = math.ceil(len(records) / 10)
    first, last = records[:tenth], records[-tenth:]
    trained = sum(bool(example.parts) for example in found)
    path = str(folder.path / "model")
    noised = settings.neftune_alpha is not None
    loss = "loss_with_noise" if noised else "loss"
    loss_first, loss_last = (sum(record.loss for record in part) / tenth for part in (first, last))
    checkpoints = sorted(map(str, folder.path.glob("checkpoints/epoch-*")), key=lambda p: int(p.rpartition("-")[2]))
    result = TuneResult(
        rows=len(found),
        trained=trained,
        dropped=len(found) - trained,
        truncated=sum(example.truncated for example in found),
        steps=len(records),
        loss_first=None if noised else loss_first,
        loss_last=None if noised else loss_last,
        loss_with_noise_first=loss_first if noised else None,
        loss_with_noise_last=loss_last if noised else None,
        tokens=sum(record.tokens for record in records),
        model=path,
        adapter_sha256=adapter or None,
        checkpoints=tuple(checkpoints) if settings.keep_checkpoints else None,
    )
    names = ("rows", "trained", "dropped", "steps", "tokens", f"{loss}_first", f"{loss}_last")
    numbers = Table(
        "Training",
        tuple("supervised tokens" if name == "tokens" else name for name in names),
        (tuple(getattr(result, name) for name in names),),
        f"{loss}_first and {loss}_last are means over the first and last 10 % of steps ({tenth}) of the step's loss: "
        "nats per supervised token (the assistant's, with the end of its turn)."
        + (
            f" Taken under NEFTune's noise (alpha {settings.neftune_alpha:g}): not to be set beside a loss without."
            if noised
            else ""
        ),
    )
    tables = [numbers]
    if lines := _to_look_at(found):
        tables.append(Table("Rows to look at", ("reason", "", "rows", "row ids"), tuple(lines)))
    note = "The first rows in the order of training; the loss is taken over what stands between ⟦ and ⟧."
    tables.append(Table("What is supervised", ("row id", "text"), tuple(preview), note))
    sentence = (
        f"Tuned {settings.model} ({settings.method}) on {trained} of {len(found)} rows in {len(records)} steps; "
        f"the model is in {path}."
    )
    return Outcome(result.as_json(), View((sentence, f"{said}.") if said else (sentence,), tuple(tables)))
