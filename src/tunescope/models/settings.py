"""The settings with which every verb names and loads its models."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from tunescope.errors import SettingsError
from tunescope.models.embedded import DEFAULT
from tunescope.oracle.api import refuse_secrets
from tunescope.runs import INPUT, NOT_IN_KEY
from tunescope.settings import EngineSettings


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """How models are loaded, and their chat template."""

    HELP_GROUP: ClassVar[str] = "Model"

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = field(default="auto", metadata=INPUT)
    """Number format of the weights; auto is float32 on CPU and bfloat16 on GPU."""

    device_map: str | None = field(default=None, metadata=NOT_IN_KEY)
    """Device of the model: cpu, cuda, cuda:1 or auto (spread by accelerate); by default a GPU if there is one."""

    load: Literal["4bit", "8bit"] | None = field(default=None, metadata=INPUT)
    """Quantise the weights while loading, with bitsandbytes (4bit: NF4, double quantisation)."""

    revision: str | None = field(default=None, metadata=INPUT)
    """Branch, tag or commit of a hub id."""

    trust_remote_code: bool = field(default=False, metadata=INPUT)
    """Run Python code that comes with the model."""

    template: str | None = None
    """Chat template: alpaca, vicuna, chatml or a Jinja file; the model's own by default."""

    template_arg: tuple[str, ...] = ()
    """A variable for the chat template, as NAME=VALUE, for example enable_thinking=false."""


@dataclass(frozen=True, kw_only=True)
class _ModelName:
    """The model's name; a class of its own, so that --model comes before the options of loading."""

    HELP_GROUP: ClassVar[str] = "Model"

    model: str = field(default=DEFAULT, metadata={**INPUT, "refuse": refuse_secrets})
    """An embedded model's name, a folder (of a model, a PEFT adapter or a tune run), a GGUF file or a hub id."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings(LoadSettings, _ModelName):
    """Which model, and how it is loaded."""


def refuse_loading(settings: LoadSettings, url: str) -> None:
    """Raise `SettingsError` where settings say how to load, or where to run, a model that a server has loaded."""
    asked = [f for kind in (LoadSettings, EngineSettings) if isinstance(settings, kind) for f in fields(kind)]
    given = [f.name for f in asked if getattr(settings, f.name) != f.default]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise SettingsError(f"{option} with --model {url}: the server decides that; leave it out")


def with_model(settings: LoadSettings, model: str, revision: str | None) -> ModelSettings:
    """Return settings that load another model in the way that `settings` say."""
    how = {f.name: getattr(settings, f.name) for f in fields(LoadSettings)}
    return ModelSettings(**{**how, "model": model, "revision": revision})
