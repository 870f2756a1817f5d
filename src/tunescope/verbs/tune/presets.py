"""The papers' training settings, and ours for what they leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunescope.verbs.tune.settings import TuneSettings

_DEFAULT_LR = {"lora": 2e-4, "full": 2e-5}
_DEFAULTS: Mapping[str, Any] = {
    "epochs": 2.0,
    "batch_size": 8,
    "max_length": 1024,
    "warmup": 0.03,
    "lr_scheduler": "linear",
    "lora_rank": 16,
    "lora_targets": "all-linear",
}


@dataclass(frozen=True, slots=True)
class _Preset:
    """A published training: `source` names it, `values` are its settings."""

    source: str
    values: Mapping[str, Any]


_PRESETS: Mapping[str, _Preset] = {
    "faco": _Preset(
        "the FACO paper; with AdamW without weight decay for its Adam",
        {"epochs": 5.0, "lr": 2e-5, "batch_size": 256, "max_length": 2048},
    ),
    "limits": _Preset(
        "the Limitations paper",
        {"epochs": 3.0, "lr": 5e-5, "batch_size": 32},
    ),
    "recycled": _Preset(
        "the Reflection-Tuning paper; with AdamW without weight decay for its Adam",
        {"epochs": 3.0, "lr": 2e-5, "batch_size": 128, "max_length": 2048, "warmup": 0.03, "template": "vicuna"},
    ),
}


def apply_preset(settings: TuneSettings) -> tuple[TuneSettings, str | None]:
    """Return settings without gaps, and a sentence on where a preset's values come from (None without a preset).

    A value that was typed stands. Else the preset's value is taken, else the default.
    """
    preset = _PRESETS[settings.preset] if settings.preset else None
    published = preset.values if preset else {}
    defaults = {**_DEFAULTS, "lr": _DEFAULT_LR[settings.method]}
    gaps = [name for name in {**defaults, **published} if getattr(settings, name) is None]
    complete = replace(settings, **{name: published.get(name, defaults.get(name)) for name in gaps})
    if preset is None:
        return complete, None
    ours = [name for name in defaults if name in gaps and name not in published]
    ours = [name for name in ours if settings.method == "lora" or not name.startswith("lora_")]
    yours = [name for name in published if name not in gaps]
    parts = [f"{preset.source}: {_list(complete, [n for n in published if n in gaps]) or 'nothing'}"]
    parts += [f"as you typed: {_list(complete, yours)}"] if yours else []
    parts += [f"our defaults for the rest: {_list(complete, ours)}"] if ours else []
    return complete, f"--preset {settings.preset} ({'; '.join(parts)})"


def _list(settings: TuneSettings, names: list[str]) -> str:
    values = {name.replace("_", " "): getattr(settings, name) for name in names}
    return ", ".join(f"{name} {v:g}" if isinstance(v, float) else f"{name} {v}" for name, v in values.items())
