"""TRL's `SFTTrainer` with our batches, our loss and our checkpoints; it sends no telemetry.

Importing this module imports torch and TRL: it is for functions that train.
"""

from __future__ import annotations

import ctypes
import json
import math
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.sft_trainer import SFTTrainer

from tunescope.errors import WorkError
from tunescope.models.packing import Passage, inside_blocks, plan_packs
from tunescope.models.training_rows import IGNORED, TrainingSequence
from tunescope.progress import say
from tunescope.runs.sums import is_intact, write_sums

WHOLE = "whole"
"""The file that marks a checkpoint as written to its end."""


def keep_memory() -> None:
    """Let glibc keep freed memory, instead of fetching and zeroing new pages for each tensor.

    On CPU a step of full tuning took 25 % less time, one of LoRA 10 %.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option in (-3, -1):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            libc.mallopt(option, 2**30)


class StepShare(NamedTuple):
    """One process's part of one step: its micro-batches, and the number of supervised tokens in the whole step."""

    batches: list[list[TrainingSequence]]
    tokens: int


class _StepMetrics(NamedTuple):
    """An optimizer step: mean loss over its supervised tokens (None without any), learning rate, number of tokens."""

    loss: float | None
    lr: float
    tokens: int


def pad(sequences: Sequence[TrainingSequence]) -> dict[str, Any]:
    """Return a batch with a row per sequence, padded on the right: input_ids, attention_mask, labels [rows, tokens]."""
    longest = max(len(sequence.ids) for sequence in sequences)
    ids = torch.zeros((len(sequences), longest), dtype=torch.long)
    mask = torch.zeros((len(sequences), longest), dtype=torch.long)
    labels = torch.full((len(sequences), longest), IGNORED)
    for row, sequence in enumerate(sequences):
        n = len(sequence.ids)
        ids[row, :n] = torch.tensor(sequence.ids)
        labels[row, :n] = torch.tensor(sequence.labels)
        mask[row, :n] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def pack(sequences: Sequence[TrainingSequence], share: bool = True) -> dict[str, Any]:
    """Return the sequences in one row, without padding; with `share`, what they begin with alike stands there once.

    `pack` is read with `inside_blocks`: its tokens are `input_ids` with `position_ids` [1, tokens]. `places` are those
    of its tokens behind which a token is supervised; `targets` are the supervised tokens, and `predicted_at` the number
    of the place that predicts each. A sequence's first token isn't predicted, and its last one isn't read.

    Sequences of one token each give what `pad` does: there is nothing to read.
    """
    passages = [Passage(tuple(sequence.ids[:1]), tuple(sequence.ids[1:])) for sequence in sequences]
    packed = next(plan_packs(passages, sys.maxsize, share), None)
    if packed is None:
        return pad(sequences)
    supervised = [
        (row, label)
        for end, (number, count) in zip(accumulate(n for _, n in packed.owners), packed.owners, strict=True)
        for row, label in zip(packed.rows[end - count : end], sequences[number].labels[1:], strict=True)
        if label != IGNORED
    ]
    places = sorted({row for row, _ in supervised})
    number_of = {place: number for number, place in enumerate(places)}
    return {
        "pack": packed,
        "input_ids": torch.tensor([packed.ids]),
        "position_ids": torch.tensor([packed.positions]),
        "places": torch.tensor(places, dtype=torch.long),
        "predicted_at": torch.tensor([number_of[row] for row, _ in supervised], dtype=torch.long),
        "targets": torch.tensor([label for _, label in supervised], dtype=torch.long),
    }


def summed_loss_of_pack(model: Any, unwrapped: Any, batch: dict[str, Any]) -> Any:
    """Return the summed negative log-likelihood of a pack's supervised tokens, in nats.

    `model` may be wrapped, for several processes or with an adapter; `unwrapped` is the same without what wraps it.
    """
    with inside_blocks(unwrapped, batch["pack"]):
        logits = model(
            input_ids=batch["input_ids"],
            position_ids=batch["position_ids"],
            logits_to_keep=batch["places"],
            use_cache=False,
        ).logits[0]
    return functional.cross_entropy(logits[batch["predicted_at"]].float(), batch["targets"], reduction="sum")


def has_dropout(model: Any) -> bool:
    """Tell whether a model drops anything while it trains; then texts that begin alike don't give the same."""
    rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    return any(rates) or any(
        value for name, value in model.config.to_dict().items() if name.endswith("attention_dropout")
    )


def _noise_sources(sequences: Sequence[TrainingSequence]) -> dict[str, Any]:
    """Return, as `rows`, the name that seeds each sequence's noise and the sequence's length."""
    return {"rows": [(sequence.noise, len(sequence.ids)) for sequence in sequences]}


def noise(name: str, length: int, width: int, alpha: float, device: Any = "cpu") -> Any:
    """Return NEFTune's noise for a sequence of `length` tokens: [length, width], uniform in ±alpha/√(length·width).

    The same name gives the same noise on the same device; it consists of the seed, the place and the part.
    Jain et al. 2023, Algorithm 1; `length` is the sequence's own, without padding.
    """
    seed = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") % 2**63
    generator = torch.Generator(device).manual_seed(seed)
    drawn = torch.rand((length, width), generator=generator, device=device)
    return (2 * drawn - 1) * (alpha / math.sqrt(length * width))


class _Steps(TrainerCallback):  # type: ignore[misc]  # the base has no types
    def __init__(self, trainer: RecordedTrainer) -> None:
        self.trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.records[-1].loss is None:
            self.trainer.optimizer.zero_grad()  # without gradients Adam's momentum doesn't move the weights

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_save = self.trainer.finish_step(state.global_step)


class RecordedTrainer(SFTTrainer):  # type: ignore[misc]  # the base has no types
    """Trains step by step on the shares of a plan; resumes from the newest whole checkpoint in `args.output_dir`.

    The loss of a step is the mean over all its supervised tokens, however they are cut into micro-batches
    and spread over processes. A step without any has no loss and leaves the weights as they are. Logits are computed
    only where a token is supervised.

    Attributes:
        records: one `_StepMetrics` per optimizer step so far.
        update: called after each step with the number of steps done.
        every: seconds between checkpoints.
        epoch_ends: step → epoch, for the steps that end one: a checkpoint is written there too.
        on_epoch: called with the epoch before that checkpoint, in every process.
    """

    def __init__(
        self,
        share: Callable[[int, int], StepShare],
        *,
        packing: bool = False,
        noise_alpha: float | None = None,
        every: float = math.inf,
        epoch_ends: dict[int, int] | None = None,
        **settings: Any,
    ) -> None:
        """Take `share(step, process)`, and the keyword arguments of `SFTTrainer`.

        `settings["train_dataset"]` has a record per step and process, in order: `step`, `process`.
        """
        self.records: list[_StepMetrics] = []
        self.update: Callable[[int], None] = lambda step: None
        self.on_epoch: Callable[[int], None] = lambda epoch: None
        self.every, self.epoch_ends = every, epoch_ends or {}
        self._alpha, self._noise = noise_alpha, None
        share_beginnings = not has_dropout(settings["model"])
        to_tensors = partial(pack, share=share_beginnings) if packing else pad

        def collate(items: list[dict[str, int]]) -> dict[str, Any]:
            (item,) = items
            batches, total = share(item["step"], item["process"])
            return {"batches": [_noise_sources(batch) | to_tensors(batch) for batch in batches], "total": total}

        assert settings["args"].per_device_train_batch_size == 1
        super().__init__(data_collator=collate, **settings)
        if noise_alpha is not None:
            self.model.get_input_embeddings().register_forward_hook(self._add_noise)
        self.remove_callback(PrinterCallback)
        self.add_callback(_Steps(self))

    def run(self) -> None:
        """Train to the end, from the newest whole checkpoint where there is one."""
        checkpoint = newest_checkpoint(Path(self.args.output_dir))
        if checkpoint is not None:
            records = json.loads((checkpoint / "records.json").read_text("utf-8"))
            self.records = [_StepMetrics(*record) for record in records]
            self.update(len(self.records))
        self._saved = monotonic()
        self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    def finish_step(self, step: int) -> bool:
        """Report the end of a step; tell whether a checkpoint is due."""
        self.update(step)
        if step in self.epoch_ends:
            self.on_epoch(self.epoch_ends[step])
        if step == self.state.max_steps:
            return False
        is_due = torch.tensor(monotonic() - self._saved >= self.every, device=self.args.device)
        if self.args.world_size > 1:  # the first process's clock counts
            torch.distributed.broadcast(is_due, 0)
        return step in self.epoch_ends or bool(is_due)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint, mark it whole, and only then remove the one before."""
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        if self.accelerator.is_main_process:
            shutil.rmtree(folder, ignore_errors=True)  # one that a kill cut short, or that was damaged
        self.accelerator.wait_for_everyone()
        super(SFTTrainer, self)._save_checkpoint(model, trial)  # TRL's own writes a model card too
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            (folder / "records.json").write_text(json.dumps(self.records), "utf-8")
            write_sums(folder)
            (folder / WHOLE).touch()
            for other in folder.parent.glob("checkpoint-*"):
                if other != folder:
                    (other / WHOLE).unlink(missing_ok=True)
                    shutil.rmtree(other)
        self.accelerator.wait_for_everyone()
        self._saved = monotonic()

    def _send_telemetry(self) -> None:
        """Send nothing."""

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: a count would need the batch in transformers' form."""
        return 0

    def _add_noise(self, module: Any, inputs: Any, output: Any) -> Any:
        """Add the noise of this batch's sequences to the embeddings [rows, tokens, width]."""
        if self._noise is None:
            return output
        added = torch.zeros_like(output)
        for row, (name, n) in enumerate(self._noise):
            added[row, :n] = noise(name, n, output.shape[-1], self._alpha or 0.0, output.device)
        return output + added

    def summed_loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """Return the summed negative log-likelihood of a micro-batch's supervised tokens, in nats."""
        if "pack" in batch:
            return summed_loss_of_pack(model, self.accelerator.unwrap_model(model), batch)
        inputs = {name: value for name, value in batch.items() if name not in ("rows", "labels")}
        labels = batch["labels"][:, 1:]
        places = (labels != IGNORED).any(dim=0).nonzero().flatten()
        self._noise = batch["rows"] if self._alpha is not None else None
        try:
            logits = model(**inputs, logits_to_keep=places, use_cache=False).logits
        finally:
            self._noise = None
        return functional.cross_entropy(logits.flatten(0, 1).float(), labels[:, places].flatten(), reduction="sum")

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """Do the forward and backward passes of one optimizer step; return its loss.

        `inputs` has this process's micro-batches and the number of supervised tokens in the whole step.
        """
        model.train()
        total = max(inputs["total"], 1)
        summed = torch.zeros((), device=self.args.device)
        *early, last = inputs["batches"]
        for batch in (*early, last):
            is_local = batch is not last and self.args.world_size > 1
            with self.accelerator.no_sync(model) if is_local else nullcontext():
                with self.compute_loss_context_manager():
                    part = self.summed_loss(model, self._prepare_inputs(batch))
                self.accelerator.backward(part * (self.args.world_size / total))  # gradients are averaged
            summed += part.detach()
        loss = self.accelerator.reduce(summed, "sum") / total
        if not math.isfinite(loss):
            step = self.state.global_step + 1
            raise WorkError(f"step {step}: the loss is {float(loss)}; type the command again with a smaller --lr")
        recorded = float(loss) if inputs["total"] else None
        self.records.append(_StepMetrics(recorded, self.optimizer.param_groups[0]["lr"], inputs["total"]))
        return loss


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in a folder that is as it was written to its end; None where there is none."""
    checkpoints = [path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")]
    for path in sorted(checkpoints, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        if is_intact(path):
            return path
        say(f"{path}: found a damaged checkpoint; it isn't used")
    return None
