"""Labels of models, runs and prompts on the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope.results.answer import AnswerSetup
from tunescope.results.tune import TuneSetup
from tunescope.runs import Run

if TYPE_CHECKING:
    from tunescope.answers import Place

_METHODS = {"lora": "LoRA", "full": "full tuning"}


def of_verb(opened: Sequence[Run], verb: str) -> list[Run]:
    """Return the runs of a verb, in order."""
    return [run for run in opened if run.verb == verb]


def model_label(model: str) -> str:
    """Return the method of a tuned model, and of another the last part of its name."""
    for folder in (Path(model), Path(model).parent):
        if (folder / "run.json").is_file():
            tuned = Run(folder)
            if tuned.verb == "tune":
                return method_label(tuned)
    return Path(model).name


def method_label(tuned: Run) -> str:
    """Return how a model was tuned, for example `LoRA with NEFTune`."""
    setup = TuneSetup.read_settings(tuned)
    return _METHODS[setup.method] + (" with NEFTune" if setup.neftune_alpha else "")


def folder_label(opened: Sequence[Run], path: str) -> str:
    """Return the label of the model whose answers a folder holds; of another folder its own name."""
    run = next((r for r in opened if str(r.path) == path), None) or Run(Path(path))
    return model_label(AnswerSetup.read_settings(run).model) if run.verb == "answer" else Path(path).name


def place_label(place: Place) -> str:
    """Return a prompt's id, with the turn and the sample where they aren't the first."""
    later = ((f" turn {place.turn + 1}", place.turn), (f" sample {place.sample + 1}", place.sample))
    return place.prompt_id + "".join(text for text, number in later if number)
