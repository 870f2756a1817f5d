"""What the folder of a model that another tool tuned says of its tuning: TRL, axolotl, LLaMA-Factory, unsloth.

All of them write a model card (`README.md`) whose header may name the base. axolotl puts its whole config into the
card, in a YAML block; LLaMA-Factory's board keeps its arguments in `training_args.yaml`. `training_args.bin` is a
pickle and isn't read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tunescope.yaml_core import read_yaml

_CARD = "README.md"
_ARGUMENTS = "training_args.yaml"
_HEADER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
_BASE_KEYS = ("base_model", "model_name_or_path")
_LENGTH_KEYS = ("sequence_len", "cutoff_len", "max_length")
_PROMPT_KEYS = ("train_on_inputs", "train_on_prompt")
_LONGEST = 1_000_000
"""Characters of a file that are read; cards have some thousands."""


class TuningNotes(NamedTuple):
    """What a folder says; None or False where it says nothing.

    Attributes:
        base: the model that it was made from.
        max_length: tokens from which on rows were cut.
        trains_prompts: whether the loss counted the prompts' tokens too.
    """

    base: str | None = None
    max_length: int | None = None
    trains_prompts: bool = False


def read_tuning_notes(folder: Path) -> TuningNotes:
    """Read what a model folder says of its tuning; a file that can't be read says nothing."""
    found: dict[str, Any] = {}
    for mapping in _mappings(folder):
        for key, value in mapping.items():
            found.setdefault(key, value)
    bases = [found[key] for key in _BASE_KEYS if isinstance(found.get(key), str) and found[key]]
    lengths = [found[key] for key in _LENGTH_KEYS if type(found.get(key)) is int and found[key] > 0]
    return TuningNotes(
        base=bases[0] if bases else None,
        max_length=lengths[0] if lengths else None,
        trains_prompts=any(found.get(key) is True for key in _PROMPT_KEYS),
    )


def _mappings(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the YAML mappings of the card and of the arguments."""
    card = _text(folder / _CARD)
    header = _HEADER.match(card)
    texts = [*([header[1]] if header else []), *_YAML_BLOCK.findall(card), _text(folder / _ARGUMENTS)]
    for text in texts:
        try:
            value = read_yaml(text)
        except (yaml.YAMLError, ValueError):
            continue
        if isinstance(value, dict):
            yield {key: _only(each) for key, each in value.items() if isinstance(key, str)}


def _only(value: Any) -> Any:
    """Return the one member of a list, as cards name a base; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_LONGEST)
    except (OSError, UnicodeDecodeError):
        return ""
