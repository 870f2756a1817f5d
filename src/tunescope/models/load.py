"""Find a model by the name that the user typed, hash it, load it.

A name is an embedded model, a folder (of a model, a PEFT adapter, or a `tune` run) or a hub id.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope.errors import MissingPackageError, TunescopeError
from tunescope.models.embedded import CONVERSION, EMBEDDED, MARKER, cached, fetch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
ADAPTER_CONFIG = "adapter_config.json"
HASHED = (".json", ".jinja", ".model", ".safetensors", ".txt")
"""Suffixes of what decides a model's behaviour: weights, configuration, tokenizer, template."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready for inference: float32, in eval mode.

    Attributes:
        model: the model; a LoRA adapter is merged into it.
        tokenizer: with the chat template where there is one.
        name: what the user typed.
        hash: content hash, as `fingerprint` gives it.
        is_adapter: it was loaded as a PEFT adapter on its base.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    hash: str
    is_adapter: bool


def imported(package: str) -> Any:
    """Import one of the packages that the `models` extra brings; raises `MissingPackageError`."""
    if "torch" not in sys.modules:
        # OpenMP's threads otherwise spin while they wait: on 2 cores that other processes use too,
        # a training step took 4 times as long
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or package).partition(".")[0] != package.partition(".")[0]:
            raise
        raise MissingPackageError(package, "models", "working with a model") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars, warnings and logs of transformers, TRL, PEFT and their like."""
    chatter = imported("transformers.utils.logging")
    loggers = [logging.getLogger(name) for name in ("accelerate", "datasets", "peft", "trl", "torch")]
    levels, verbosity, bars = [log.level for log in loggers], chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity_error()
    chatter.disable_progress_bar()
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        chatter.set_verbosity(verbosity)
        if bars:
            chatter.enable_progress_bar()
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)


def local_folder(name: str) -> Path | None:
    """Return the folder that `name` means, without fetching; None for embedded models and hub ids.

    The folder of a `tune` run means the model in it.

    Raises:
        TunescopeError: nothing of that name, or a folder without a model; the sentence lists what there is.
    """
    path = Path(name)
    if name in EMBEDDED:
        return None
    if path.is_dir():
        for folder in (path, path / "model"):
            if (folder / ADAPTER_CONFIG).is_file() or (folder / "config.json").is_file():
                return folder
        files = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
        raise TunescopeError(f"{name}: found {files}; expected config.json or {ADAPTER_CONFIG} with safetensors")
    if path.exists():
        raise TunescopeError(f"{name}: found a file; expected a model folder, an embedded name or a hub id")
    if HUB_ID.fullmatch(name) and not path.parent.exists():
        return None
    raise TunescopeError(f"no model {name}; there are: {', '.join(_what_exists(path))}; or type a hub id (OWNER/NAME)")


def _what_exists(missing: Path) -> list[str]:
    from tunescope.runs import root

    near = missing.parent if missing.parent.is_dir() else Path()
    places = [near, root()] if root().is_dir() else [near]
    found = {
        str(item)
        for place in places
        for item in place.iterdir()
        if item.is_dir()
        and any((item / sub / file).is_file() for sub in ("", "model") for file in ("config.json", ADAPTER_CONFIG))
    }
    return [*EMBEDDED, *sorted(found)[:12]]


def base_of(folder: Path) -> str | None:
    """Return the name of the model that an adapter folder sits on, or None for a whole model.

    Our own adapters say it in `tunescope.json`, where the name survives a move of the cache.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        return None
    if (folder / MARKER).is_file():
        base = json.loads((folder / MARKER).read_text("utf-8")).get("base")
        if base:
            return str(base)
    base = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8")).get("base_model_name_or_path")
    if not base:
        raise TunescopeError(f"{folder / ADAPTER_CONFIG} names no base model; expected base_model_name_or_path")
    return str(base)


def fingerprint(name: str) -> str:
    """Hash what `load(name)` would load, without loading it (BLAKE2b, 128 bits, hex).

    An embedded model is known by its file's SHA-256 and the conversion, a hub id by its commit,
    a folder by its files, an adapter by its files and its base.
    """
    folder = local_folder(name)
    if folder is None:
        known = f"{EMBEDDED[name].sha256} {CONVERSION}" if name in EMBEDDED else f"{name} {_commit(name)}"
        return blake2b(known.encode(), digest_size=16).hexdigest()
    digest = blake2b(digest_size=16)
    for path in sorted(p for p in folder.iterdir() if p.suffix in HASHED and p.name not in (MARKER, "README.md")):
        # an adapter's configuration holds the path of its base, which isn't content
        data = _without_path(path) if path.name == ADAPTER_CONFIG else None
        digest.update(path.name.encode())
        if data is not None:
            digest.update(data)
            continue
        with path.open("rb") as file:
            while chunk := file.read(2**22):
                digest.update(chunk)
    base = base_of(folder)
    if base is not None:
        digest.update(fingerprint(base).encode())
    return digest.hexdigest()


def _without_path(config: Path) -> bytes:
    settings = json.loads(config.read_text("utf-8"))
    settings.pop("base_model_name_or_path", None)
    return json.dumps(settings, sort_keys=True).encode()


def _commit(name: str) -> str:
    hub = imported("huggingface_hub")
    refusals = (imported("httpx").HTTPError, hub.errors.HfHubHTTPError, OSError, ValueError)
    try:
        return str(hub.HfApi().model_info(name, timeout=20).sha)
    except refusals as error:  # offline, refused or unknown: there may be a copy in the hub's cache
        config = hub.try_to_load_from_cache(name, "config.json")
        if isinstance(config, str):
            return Path(config).parent.name
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TunescopeError(
            f"no folder {name} here, and the hub has no model of that name for us ({reason}); "
            f"the embedded models are: {', '.join(EMBEDDED)}"
        ) from error


def source(name: str) -> str:
    """Return what transformers and PEFT take for `name`: a folder, fetched if need be, or a hub id."""
    folder = local_folder(name)
    if folder is not None:
        return str(folder)
    return str(fetch(name).resolve()) if name in EMBEDDED else name


def load(name: str) -> Loaded:
    """Load a model and its tokenizer for CPU, in float32, from safetensors only, running none of its code.

    Raises:
        TunescopeError: no such model, no safetensors, no tokenizer, or a base that an adapter doesn't fit.
        MissingPackageError: torch, transformers or (for adapters) peft isn't installed.
    """
    torch, transformers = imported("torch"), imported("transformers")
    place, folder = source(name), local_folder(name)
    base = base_of(folder) if folder is not None else None
    local = {"local_files_only": Path(place).is_dir(), "trust_remote_code": False}
    with quiet():
        if base is not None:
            return _adapter(name, Path(place), base)
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                place, dtype=torch.float32, use_safetensors=True, **local
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(place, **local)
        except (OSError, ValueError) as error:
            raise TunescopeError(f"{name}: can't be loaded ({' '.join(str(error).split())[:300]})") from error
    return Loaded(model.eval(), tokenizer, name, fingerprint(name), False)


def _adapter(name: str, folder: Path, base: str) -> Loaded:
    peft, transformers = imported("peft"), imported("transformers")
    below = load(base)
    said = json.loads((folder / MARKER).read_text("utf-8")) if (folder / MARKER).is_file() else {}
    if said.get("base_hash", below.hash) != below.hash:
        raise TunescopeError(f"{name}: its base {base} is another model now than the one it was tuned on")
    try:
        model = peft.PeftModel.from_pretrained(below.model, folder, use_safetensors=True).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise TunescopeError(f"{name}: the adapter doesn't load on its base {base} ({reason})") from error
    tokenizer = below.tokenizer
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model.requires_grad_(True)  # as a model that never had an adapter; PEFT froze its weights
    return Loaded(model.eval(), tokenizer, name, fingerprint(name), True)


def is_ready(name: str) -> bool:
    """Tell whether loading `name` needs no download."""
    return cached(name) is not None if name in EMBEDDED else local_folder(name) is not None
