"""The training itself: sets up TRL's trainer from our settings, writes the model and verifies it."""

from __future__ import annotations

import math
import os
import shutil
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.errors import SettingsError, TunescopeError, WorkError
from tunescope.foreign import dump_json
from tunescope.models.embedded import EMBEDDED, MARKER
from tunescope.progress import progress, say
from tunescope.results.tune import TuneStep
from tunescope.verbs.tune.launch import Launch
from tunescope.views import counted

if TYPE_CHECKING:
    from tunescope.models import Loaded
    from tunescope.models.trainer import RecordedTrainer
    from tunescope.runs import RunFolder
    from tunescope.verbs.tune.plan import Plan
    from tunescope.verbs.tune.settings import TuneSettings

PACKS = ("gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3")
"""Architectures whose packed rows are tested to see nothing of each other."""
_SCHEDULERS = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
"""Our names of learning-rate schedules → transformers'; all rise over --warmup first."""


class StepRecord(NamedTuple):
    """One optimizer step; `loss` is the mean over its `tokens` supervised tokens, in nats; None where it has none."""

    step: int
    epoch: float
    loss: float | None
    lr: float
    tokens: int

    def as_line(self, has_noise: bool) -> dict[str, Any]:
        """Return it as it is written; a loss under noise has a name of its own, and one that is missing is null."""
        name = "loss_with_noise" if has_noise else "loss"
        line = TuneStep(step=self.step, epoch=self.epoch, **{name: self.loss}, lr=self.lr, tokens=self.tokens)
        return line.as_json() | {name: self.loss}


def packs_rows(settings: TuneSettings, loaded: Loaded, limit: int) -> bool:
    """Tell whether rows are packed: where --packing says so, and on the CPU where packed rows are known to stay apart.

    `limit` is the longest row in tokens. On a GPU a padded micro-batch may be the faster one.

    Raises:
        SettingsError: --packing where packed rows aren't known to stay apart.
    """
    reason = _why_not_packed(settings, loaded, limit)
    if settings.packing and reason is not None:
        raise SettingsError(reason)
    return settings.packing or (reason is None and loaded.device == "cpu" and settings.neftune_alpha is None)


def _why_not_packed(settings: TuneSettings, loaded: Loaded, limit: int) -> str | None:
    config = loaded.model.config
    if config.model_type not in PACKS:
        return f"--packing isn't tested on {config.model_type}, only on {', '.join(PACKS)}; type the command without it"
    window = getattr(config, "sliding_window", None)
    if window and limit > window and getattr(config, "use_sliding_window", True):
        return (
            f"--packing with --max-length {limit}: {settings.model} sees {window} tokens back; "
            f"type --max-length {window}, or no --packing"
        )
    return None


def require_tracker(track: str) -> None:
    """Raise `TunescopeError` for a tracker whose package isn't installed."""
    if find_spec(track) is None:
        raise TunescopeError(
            f"--track {track} needs the package {track}, which isn't installed; type: pip install {track}"
        )


def train(settings: TuneSettings, loaded: Loaded, plan: Plan, folder: RunFolder, launch: Launch) -> tuple[Any, str]:
    """Train, or go on from the newest checkpoint; write `model/`.

    Returns the records, one per step, and the SHA-256 of the adapter's weights ("" for a full model).

    Raises:
        SettingsError: the model has no layers of the names in --lora-targets.
        WorkError: the loss is no number, or the adapter that was written isn't the one that was trained.
    """
    from tunescope.models import silence_libraries
    from tunescope.models.lazy import require

    with silence_libraries():
        require("trl")
        from tunescope.models.trainer import newest_checkpoint

    trainer_folder = folder.scratch / "trainer"
    resumed = newest_checkpoint(trainer_folder)
    if resumed is not None:
        say(f"going on from step {resumed.name.rpartition('-')[2]}")
    start = monotonic()
    with silence_libraries(), progress("steps", plan.steps) as update:
        trainer = make_trainer(settings, loaded, plan, trainer_folder, launch)
        trainer.update = update
        if settings.keep_checkpoints:
            trainer.on_epoch = lambda epoch: _keep_epoch(settings, loaded, trainer, folder, launch, epoch)
        trainer.run()
    records = [StepRecord(i, plan.epoch(i), *metrics) for i, metrics in enumerate(trainer.records, 1)]
    new_records = records[int(resumed.name.rpartition("-")[2]) if resumed else 0 :]
    tokens = sum(record.tokens for record in new_records)
    say(f"{counted(len(new_records), 'step')}, {tokens / (monotonic() - start):,.0f} supervised tokens per second")
    return records, _write_model(settings, loaded, trainer, folder.scratch / "model", folder.path / "model", launch)


def make_trainer(settings: TuneSettings, loaded: Loaded, plan: Plan, folder: Path, launch: Launch) -> RecordedTrainer:
    """Return the trainer of a plan, with the adapter on the model; `folder` is for its checkpoints.

    Raises:
        SettingsError: the model has no layers of the names in --lora-targets.
    """
    from tunescope.models import silence_libraries
    from tunescope.models.lazy import require

    with silence_libraries():
        datasets, peft, transformers, trl = map(require, ("datasets", "peft", "transformers", "trl"))
        from tunescope.models.trainer import RecordedTrainer, keep_memory

    keep_memory()
    transformers.set_seed(settings.seed)
    try:
        trainer = RecordedTrainer(
            partial(plan.share, processes=launch.processes),
            packing=plan.pack_length is not None,
            noise_alpha=settings.neftune_alpha,
            every=60 * settings.checkpoint_minutes,
            epoch_ends=plan.epoch_ends(),
            model=loaded.model,
            args=_trainer_config(settings, loaded, plan, folder, trl),
            train_dataset=datasets.Dataset.from_dict(_steps_and_processes(plan.steps, launch.processes)),
            processing_class=loaded.tokenizer,
            peft_config=_adapter_config(settings, peft),
        )
    except ValueError as error:
        raise _explain_targets(settings, error) from error
    if settings.method == "lora":
        _try_adapter(settings, loaded)
    if settings.load is not None:  # TRL made them bfloat16, in which small steps are lost
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return trainer


def _explain_targets(settings: TuneSettings, error: ValueError) -> Exception:
    """Return the refusal for layers that PEFT puts no adapter on; any other error as it is."""
    reason = " ".join(str(error).split())
    if "target modules" in reason.lower():
        return SettingsError(f"--lora-targets {settings.lora_targets}: the model has no such layers")
    if "target_modules" in reason:
        return SettingsError(
            f"--lora-targets {settings.lora_targets}: no adapter can be put on some of these layers ({reason[:250]}); "
            "type --lora-targets with the names of others, or --method full"
        )
    return error


def _try_adapter(settings: TuneSettings, loaded: Loaded) -> None:
    """Raise `SettingsError` where the model doesn't run with its adapter, such as a router that gives two tensors."""
    from tunescope.models.probe import FAILURES, own_logits, random_ids

    loaded.model.eval()
    try:
        own_logits(loaded.model, random_ids(loaded.model, [4])[0], 1)
    except FAILURES as error:
        raise SettingsError(
            f"--lora-targets {settings.lora_targets}: {type(loaded.model).__name__} doesn't run with an adapter on "
            f"some of these layers ({error}); type --lora-targets q_proj,k_proj,v_proj,o_proj (its attention), "
            "or --method full"
        ) from error


def _steps_and_processes(steps: int, processes: int) -> dict[str, list[int]]:
    return {
        "step": [step for step in range(steps) for _ in range(processes)],
        "process": [process for _ in range(steps) for process in range(processes)],
    }


def _adapter_config(settings: TuneSettings, peft: Any) -> Any:
    if settings.method == "full":
        return None
    targets, rank = settings.lora_targets or "", settings.lora_rank or 0
    return peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules=targets if targets == "all-linear" else targets.split(","),
        task_type="CAUSAL_LM",
    )


def _trainer_config(settings: TuneSettings, loaded: Loaded, plan: Plan, folder: Path, trl: Any) -> Any:
    on_cpu = loaded.device == "cpu"
    mixed_precision = (
        "no" if on_cpu or settings.dtype == "float32" else "fp16" if settings.dtype == "float16" else "bf16"
    )
    return trl.SFTConfig(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=settings.lr,
        lr_scheduler_type=_SCHEDULERS[settings.lr_scheduler or "linear"],
        warmup_steps=math.ceil((settings.warmup or 0) * plan.steps),  # as transformers rounds a ratio
        optim="adamw_torch_fused",
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=settings.seed,
        train_sampling_strategy="sequential",
        max_length=None,
        packing=False,
        shuffle_dataset=False,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=on_cpu,
        bf16=mixed_precision == "bf16",
        fp16=mixed_precision == "fp16",
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        logging_strategy="steps" if settings.track else "no",
        logging_steps=1,
        save_strategy="no",
        report_to=settings.track or "none",
        disable_tqdm=True,
    )


def _keep_epoch(
    settings: TuneSettings, loaded: Loaded, trainer: Any, folder: RunFolder, launch: Launch, epoch: int
) -> None:
    """Write the model of an epoch's end."""
    target = folder.path / "checkpoints" / f"epoch-{epoch}"
    if launch.leads:
        target.parent.mkdir(exist_ok=True)
    _write_model(settings, loaded, trainer, folder.scratch / target.name, target, launch)


def _write_model(settings: TuneSettings, loaded: Loaded, trainer: Any, part: Path, target: Path, launch: Launch) -> str:
    """Write the model to `part`, verify an adapter by reading it back, and move it to `target`.

    Returns the SHA-256 of the adapter's weights, "" for a full model.

    Raises:
        WorkError: the adapter that was written isn't the one that was trained.
    """
    from tunescope.models import silence_libraries
    from tunescope.models.load import source

    accelerator = trainer.accelerator
    model = accelerator.unwrap_model(trainer.model)
    # sharded weights are gathered by all processes together
    state = accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None
    if not launch.leads:
        launch.wait()
        return ""
    shutil.rmtree(part, ignore_errors=True)
    adapter_sha256 = ""
    with silence_libraries():
        if settings.method == "lora":
            # PEFT looks here for the base; our own loader goes by its name, in tunescope.json
            config = model.peft_config["default"]
            config.base_model_name_or_path = source(settings.model)
            config.target_modules = sorted(config.target_modules)
            model.save_pretrained(part, save_embedding_layers=False, state_dict=state)
            adapter_sha256 = _verify_adapter(model, state, part / "adapter_model.safetensors")
            is_name = settings.model in EMBEDDED or not Path(settings.model).is_dir()
            base = settings.model if is_name else str(Path(settings.model).resolve())
            marker = {"base": base, "base_hash": loaded.hash}
            (part / MARKER).write_text(dump_json(marker, indent=1) + "\n", "utf-8")
        else:
            model.save_pretrained(part, state_dict=state)
        loaded.tokenizer.save_pretrained(part)
    (part / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    shutil.rmtree(target, ignore_errors=True)
    os.replace(part, target)
    launch.wait()
    return adapter_sha256


def _verify_adapter(model: Any, state: Any, file: Path) -> str:
    """Raise `WorkError` unless a file has the adapter's weights; return its SHA-256."""
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import load_file

    trained = get_peft_model_state_dict(model, state_dict=state, save_embedding_layers=False)
    written = load_file(file)
    wrong = sorted(
        name
        for name in {*trained, *written}
        if name not in trained or name not in written or not torch.equal(trained[name].detach().cpu(), written[name])
    )
    if wrong:
        raise WorkError(
            f"{file}: {len(wrong)} tensors aren't those that were trained, {wrong[0]} first; type the command again"
        )
    return sha256(file.read_bytes()).hexdigest()
