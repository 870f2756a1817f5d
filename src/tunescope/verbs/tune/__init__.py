"""`tune`: fine-tune a model on rows, with LoRA or in full, the same way every time.

TRL's `SFTTrainer` and PEFT do the training. What is supervised, the order of rows, the loss over them and the
checkpoints are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from tunescope import runs
from tunescope.errors import SettingsError, TunescopeError
from tunescope.foreign import is_file_name
from tunescope.models.settings import ModelSettings
from tunescope.progress import say
from tunescope.results.tune import TunedRows, TuneStep
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.tune.launch import Launch
from tunescope.verbs.tune.plan import Plan, order
from tunescope.verbs.tune.presets import apply_preset
from tunescope.verbs.tune.settings import TuneSettings
from tunescope.views import View, counted

if TYPE_CHECKING:
    from tunescope.models import Loaded
    from tunescope.models.training_rows import Example
    from tunescope.rows import RowSet

__all__ = ["TuneSettings", "order", "tune"]

VERSION = 3
_N_PREVIEWED = 3
"""Rows shown as they are trained on, in the view and before the first step."""


def tune(settings: TuneSettings) -> Run:
    """Fine-tune; return the run with `model/`, `metrics.jsonl` and the table `rows`.

    `model/` is a folder that transformers loads (full) or PEFT loads (lora). `rows` has row_id,
    n_tokens (before cutting), n_supervised (that were trained), truncated and reason; every row
    is in it, in file order. `metrics` has step, epoch, loss (loss_with_noise under NEFTune), lr and
    tokens. A killed run continues from its last checkpoint and ends with the same weights. Under
    `accelerate launch` all processes train, and the first writes.

    Raises:
        InputError, SettingsError, TunescopeError: in one sentence each.
        MissingPackageError: torch, transformers, trl, peft or bitsandbytes isn't installed.
        WorkError: --command failed, or the loss isn't a number.
    """
    from tunescope.models import inputs_of
    from tunescope.models.load import device_of
    from tunescope.rows import open_rows
    from tunescope.verbs.tune import command

    settings, preset = apply_preset(settings)
    _validate(settings)
    model_settings = _model_settings(settings)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    launch = Launch.from_environment()
    if settings.plan and (settings.command is not None or launch.processes > 1):
        what = "--command" if settings.command is not None else "accelerate launch"
        raise SettingsError(f"--plan with {what}: found a training that can't be probed here; leave --plan out")
    inputs = rows.inputs | inputs_of(model_settings)
    if settings.command is not None:
        work = partial(command.run_command, settings, rows)
    else:
        work = partial(_work, settings, model_settings, rows, launch, preset)
    device = device_of(settings)

    verb = "tune plan" if settings.plan else "tune"

    def begin(work: Any) -> Run:
        return runs.execute(verb, VERSION, settings, inputs, work, device)

    return launch.execute(begin, work, device == "cpu")


def _validate(settings: TuneSettings) -> None:
    """Raise for settings that can't work together, or that need a package which isn't installed."""
    from tunescope.models.lazy import require_quantizer
    from tunescope.models.load import is_adapter
    from tunescope.verbs.tune import command, train

    if settings.neftune_alpha is not None and settings.packing:
        raise SettingsError("--neftune-alpha with --packing: noise is by the length of a row alone; drop one of them")
    if settings.load is not None:
        if settings.method == "full":
            raise SettingsError(
                f"--method full with --load {settings.load}: quantised weights can't be trained; type --method lora"
            )
        require_quantizer(settings.load)
    if settings.track is not None:
        train.require_tracker(settings.track)
    if settings.command is not None:
        command.split_command(settings.command)
    elif settings.method == "lora" and is_adapter(settings.model):
        raise SettingsError(
            f"{settings.model} is an adapter, and an adapter on an adapter can't be kept; "
            "type --method full, or --model with its base"
        )


def _model_settings(settings: TuneSettings) -> ModelSettings:
    """Return how the model is loaded: for full tuning in float32, in which small steps aren't lost."""
    if settings.method == "full" and settings.dtype == "auto":
        return replace(settings, dtype="float32")
    return settings


def _work(
    settings: TuneSettings,
    model_settings: ModelSettings,
    rows: RowSet,
    launch: Launch,
    preset: str | None,
    folder: RunFolder,
) -> Outcome:
    from tunescope.chat import Chat, parse_template_args
    from tunescope.models import load, silence_libraries, stop_ids
    from tunescope.models.load import device_of
    from tunescope.models.training_rows import examples
    from tunescope.verbs.tune import view
    from tunescope.verbs.tune.plan import list_rows, show_example
    from tunescope.verbs.tune.train import packs_rows, train

    start = monotonic()
    if launch.processes > 1 and settings.device_map is None and device_of(settings) != "cpu":
        model_settings = replace(model_settings, device_map=f"cuda:{launch.local}")
    loaded = load(model_settings)
    template_args = parse_template_args(settings.template_arg)
    chat = Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer), settings.template, template_args)
    if settings.template or template_args:  # so that the tuned model answers in the form it was tuned in
        loaded.tokenizer.chat_template = chat.own_template()
    _require_file_names(settings, loaded)
    max_length = _max_length(settings, loaded)
    pack_length = max_length if packs_rows(settings, loaded, max_length) else None
    with silence_libraries():
        all_examples = list(examples(chat, rows, max_length))
    plan = _plan(settings, all_examples, pack_length)
    if preset:
        say(preset)
    say(
        f"tuning {settings.model} ({settings.method}), {loaded.dtype} on {loaded.device}"
        + (f" with {launch.processes} processes" if launch.processes > 1 else "")
        + f": {counted(plan.steps, 'step')} of {plan.batch_size} rows, lr {settings.lr:g}, {settings.lr_scheduler}"
    )
    first = [all_examples[i] for i in dict.fromkeys(plan.order) if all_examples[i].parts][:_N_PREVIEWED]
    preview = [(example.row_id, show_example(chat, example)) for example in first]
    for row_id, text in preview:
        say(f"  {row_id}: {text}")
    if sentence := view.preference_sentence(all_examples):
        say(f"  {sentence}")
    for reason, fate, count, ids in view.rows_to_look_at(all_examples):
        say(f"  {count:,} {'row' if count == 1 else 'rows'} {fate}: {reason} ({ids})")
    if settings.plan:
        from tunescope.verbs.tune.probe import plan_training

        return plan_training(settings, loaded, plan, folder, launch, start)
    records, adapter_sha256 = train(settings, loaded, plan, folder, launch)
    if not launch.leads:
        return Outcome({}, View(()))
    has_noise = settings.neftune_alpha is not None
    folder.records(TuneStep.NAME, (record.as_line(has_noise) for record in records))
    folder.table(TunedRows.NAME, list_rows(all_examples).table())
    result = view.summarize(settings, folder, all_examples, records, adapter_sha256)
    return Outcome(result.as_json(), view.show(settings, result, all_examples, preview, preset))


def _require_file_names(settings: TuneSettings, loaded: Loaded) -> None:
    """Refuse chat templates that can't be files: each is saved with the model, under the name that it has there."""
    templates = loaded.tokenizer.chat_template
    wrong = [name for name in (templates if isinstance(templates, dict) else ()) if not is_file_name(str(name))]
    if wrong:
        raise SettingsError(
            f"{settings.model}: found a chat template called {wrong[0]!r}, which can't be a file's name; "
            "name the one to tune with: --template FILE.jinja"
        )


def _max_length(settings: TuneSettings, loaded: Loaded) -> int:
    """Return the longest sequence in tokens: --max-length, or what the model takes where that is less."""
    asked = settings.max_length or 0
    limit: int = min(asked, getattr(loaded.model.config, "max_position_embeddings", asked))
    if limit < asked:
        say(f"rows are cut to {limit} tokens: the model takes no more")
    return limit


def _plan(settings: TuneSettings, all_examples: Sequence[Example], pack_length: int | None) -> Plan:
    """Return the plan of the training; raises `TunescopeError` where no row can be trained on."""
    n = len(all_examples)
    if not any(example.parts for example in all_examples):
        reasons = "; ".join(sorted({example.reason for example in all_examples}))
        raise TunescopeError(f"none of the {n} rows has anything to train on ({reasons})")
    batch_size, epochs = settings.batch_size or 0, settings.epochs or 0
    steps = settings.max_steps or max(1, math.ceil(n * epochs / batch_size))
    numbers = order(n, steps, batch_size, settings.seed)
    if settings.max_steps is None:
        numbers = numbers[: max(1, round(n * epochs))]
    if not any(all_examples[number].parts for number in numbers):
        raise TunescopeError(
            f"none of the {steps} steps takes a row that has anything to train on; type a larger --max-steps"
        )
    return Plan(all_examples, numbers, batch_size, settings.micro_batch, pack_length, settings.seed)
