"""Which model a tuned model was made from."""

from __future__ import annotations

from typing import NamedTuple

from tunescope.errors import SettingsError
from tunescope.models.load import base_of, fingerprint, local_folder
from tunescope.models.settings import ModelSettings
from tunescope.models.tuning_notes import read_tuning_notes
from tunescope.progress import say
from tunescope.results.tune import TuneSetup
from tunescope.runs import Run, producing_run


class BaseModel(NamedTuple):
    """The model that a tuned model is compared with, its content hash, and whether that is an adapter on it."""

    name: str
    hash: str
    is_adapter: bool


def find_base(base: ModelSettings | None, tuned: ModelSettings, strict: bool = False) -> BaseModel:
    """Return the base of a tuned model: the one that its adapter, its tune run or its card names, or the user's.

    Raises:
        SettingsError: no base is known, or the user's is another model than the adapter's, or (with `strict`) than the
            one that a tune run began with.
        TunescopeError: no such model.
    """
    folder = local_folder(tuned.model)
    own = base_of(folder) if folder is not None else None
    if own is not None:
        hashed = fingerprint(own)
        if base is not None and fingerprint(base.model, base.revision) != hashed:
            raise SettingsError(
                f"--base {base.model} isn't the base of the adapter {tuned.model}, which is {own}; leave --base out"
            )
        return BaseModel(own, hashed, True)
    run = producing_run(folder) if folder is not None else None
    made_from = TuneSetup.read_settings(run).model if run is not None and run.verb == "tune" else None
    if base is None and made_from is None and folder is not None:
        named = read_tuning_notes(folder).base
        if named is not None:
            say(f"{tuned.model} says that it was made from {named}")
            return BaseModel(named, fingerprint(named), False)
    if base is not None:
        hashed = fingerprint(base.model, base.revision)
        if made_from is not None and run is not None and not _is_input(hashed, run):
            found = f"{tuned.model} was tuned from {made_from}, and --base {base.model} is another model or version"
            if strict:
                raise SettingsError(f"{found}; leave --base out")
            say(found)
        return BaseModel(base.model, hashed, False)
    if made_from is None or run is None:
        raise SettingsError(f"{tuned.model} is no adapter and no tune run, so its base is unknown; name it with --base")
    hashed = fingerprint(made_from)
    if not _is_input(hashed, run):
        raise SettingsError(
            f"{tuned.model} was tuned from {made_from}, which is another model now; name its base with --base"
        )
    return BaseModel(made_from, hashed, False)


def _is_input(hashed: str, run: Run) -> bool:
    """Tell whether a run read something with this content hash."""
    return any(value.split()[0] == hashed for value in run.info["inputs"].values())
