"""What a paper says of its training, as settings; what it leaves open is ours, and said to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunescope.verbs.tune import TuneSettings

DEFAULT_LR = {"lora": 2e-4, "full": 2e-5}
DEFAULTS: Mapping[str, Any] = {
    "epochs": 2.0,
    "batch_size": 8,
    "max_length": 1024,
    "warmup": 0.03,
    "lr_scheduler": "linear",
    "lora_rank": 16,
    "lora_targets": "all-linear",
}


@dataclass(frozen=True, slots=True)
class Preset:
    """A published training: `source` names it, `values` are its settings."""

    source: str
    values: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = {
    "faco": Preset(
        "paper 1, FACO; its Adam is ours, AdamW without weight decay",
        {"epochs": 5.0, "lr": 2e-5, "batch_size": 256, "max_length": 2048},
    ),
    "limits": Preset(
        "paper 2, limitations of instruction tuning",
        {"epochs": 3.0, "lr": 5e-5, "batch_size": 32},
    ),
    "recycled": Preset(
        "paper 3, Reflection-Tuning; its Adam is ours, AdamW without weight decay",
        {"epochs": 3.0, "lr": 2e-5, "batch_size": 128, "max_length": 2048, "warmup": 0.03, "template": "vicuna"},
    ),
}


def filled(settings: TuneSettings) -> tuple[TuneSettings, str | None]:
    """Return the settings with nothing left open, and the sentence that says what a preset did.

    What was typed stands; else the preset's value; else the default.
    """
    preset = PRESETS[settings.preset] if settings.preset else None
    asked = preset.values if preset else {}
    fallback = {**DEFAULTS, "lr": DEFAULT_LR[settings.method]}
    open_ = [name for name in {**fallback, **asked} if getattr(settings, name) is None]
    full = replace(settings, **{name: asked.get(name, fallback.get(name)) for name in open_})
    if preset is None:
        return full, None
    told = ["lora_rank", "lora_targets"] if settings.method == "lora" else []
    ours = [name for name in (*fallback, *told) if name in open_ and name not in asked]
    ours = [name for name in dict.fromkeys(ours) if settings.method == "lora" or not name.startswith("lora_")]
    yours = [name for name in asked if name not in open_]
    parts = [f"{preset.source}: {_list(full, [n for n in asked if n in open_]) or 'nothing'}"]
    parts += [f"as you typed: {_list(full, yours)}"] if yours else []
    parts += [f"left open there and ours: {_list(full, ours)}"] if ours else []
    return full, f"--preset {settings.preset} ({'; '.join(parts)})"


def _list(settings: TuneSettings, names: list[str]) -> str:
    shown = {name: getattr(settings, name) for name in names}
    return ", ".join(
        f"{n.replace('_', ' ')} {v:g}" if isinstance(v, float) else f"{n.replace('_', ' ')} {v}"
        for n, v in shown.items()
    )
