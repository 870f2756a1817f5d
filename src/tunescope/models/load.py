"""Find a model by the name that the user typed, hash it, load it.

A name is an embedded model, `microworld` (or `microworld:SEED`, or `microworld:SEED:SIZE`), a folder (of a model, a
PEFT adapter or a `tune` run), a GGUF file or a hub id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope.errors import TunescopeError
from tunescope.models.embedded import CONVERSION, EMBEDDED, MARKER, cache_root, fetch
from tunescope.models.lazy import require, require_quantizer, silence_libraries
from tunescope.models.probe import require_causal
from tunescope.models.settings import ModelSettings
from tunescope.progress import say
from tunescope.views import reason_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_MICROWORLD = re.compile(r"microworld(?::(\d+)(?::([\w-]+))?)?")
"""The tiny model of the microworld with this seed (0 by default) and of this size, trained at first need."""
_OF_TOKENIZER = re.compile(r"tokenizer|vocab|merges|spiece|sentencepiece|tekken|tiktoken|\.model$", re.IGNORECASE)
"""Names of the files that tokenizers are kept in."""
GGUF = ".gguf"
ADAPTER_CONFIG = "adapter_config.json"
_HASHED = (".json", ".jinja", ".model", ".safetensors", ".txt")
"""Suffixes of what decides a model's behaviour: weights, configuration, tokenizer, template."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready for inference, in eval mode.

    Attributes:
        model: the model; a LoRA adapter is merged into it, or lies beside its weights (`load` with `merge` false).
        tokenizer: with the chat template where there is one.
        name: the model's name as the user typed it.
        hash: content hash, as `fingerprint` gives it.
        is_adapter: whether it was loaded as a PEFT adapter on its base.
        dtype: number format of the weights (`float32`), with the quantisation where there is one (`4bit bfloat16`).
        device: where it lies, `cpu` or `cuda:0`.
        adapter: PEFT's model around `model`, where the adapter isn't merged.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    hash: str
    is_adapter: bool
    dtype: str = "float32"
    device: str = "cpu"
    adapter: Any = None

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Make `model` its own base, to the bit, while the context lasts; the adapter isn't merged."""
        tuner = self.adapter.base_model  # PEFT's disable_adapter() refuses a model whose decoder is taken out
        tuner.disable_adapter_layers()
        try:
            yield
        finally:
            tuner.enable_adapter_layers()


def local_folder(name: str) -> Path | None:
    """Return the folder that `name` means, without fetching; None for what isn't a folder.

    The folder of a `tune` run means the model in it. Embedded models, GGUF files and hub ids have none.

    Raises:
        TunescopeError: nothing of that name, or a folder without a model; the sentence lists what there is.
    """
    path = Path(name)
    if name in EMBEDDED or _MICROWORLD.fullmatch(name):
        return None
    if path.is_dir():
        for folder in (path, path / "model"):
            if (folder / ADAPTER_CONFIG).is_file() or (folder / "config.json").is_file():
                return folder
        files = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
        raise TunescopeError(f"{name}: found {files}; expected config.json or {ADAPTER_CONFIG} with safetensors")
    if path.exists():
        if path.suffix == GGUF:
            return None
        raise TunescopeError(
            f"{name}: found a file; expected a model folder, a GGUF file, the name of an embedded model, or a hub id"
        )
    if _HUB_ID.fullmatch(name) and not path.parent.exists():
        return None
    raise TunescopeError(f"no model {name}; there are: {', '.join(_what_exists(path))}; or type a hub id (OWNER/NAME)")


def is_adapter(name: str) -> bool:
    """Tell whether `name` means a PEFT adapter."""
    folder = local_folder(name)
    return folder is not None and base_of(folder) is not None


def _what_exists(missing: Path) -> list[str]:
    """Name the embedded models, and up to 12 model folders beside a path and among the runs."""
    from tunescope.runs import root

    near = missing.parent if missing.parent.is_dir() else Path()
    places = [near, root()] if root().is_dir() else [near]
    folders = {
        str(item)
        for place in places
        for item in place.iterdir()
        if item.is_dir()
        and any((item / sub / file).is_file() for sub in ("", "model") for file in ("config.json", ADAPTER_CONFIG))
    }
    return [*EMBEDDED, *sorted(folders)[:12]]


def base_of(folder: Path) -> str | None:
    """Return the name of the model that an adapter folder sits on, or None for a whole model.

    Our own adapters have the name in `tunescope.json`, where it survives a move of the cache.
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


def fingerprint(name: str, revision: str | None = None) -> str:
    """Hash what `load(name)` would load, without loading it (BLAKE2b, 128 bits, hex).

    An embedded model is identified by its file's SHA-256 and the conversion, a hub id by its commit,
    a folder and a GGUF file by content, an adapter by its files and its base.
    """
    folder = local_folder(name)
    if folder is None and _MICROWORLD.fullmatch(name):
        folder = _microworld(name)
    digest = blake2b(digest_size=16)
    if folder is not None:
        for path in sorted(p for p in folder.iterdir() if p.suffix in _HASHED and p.name not in (MARKER, "README.md")):
            digest.update(path.name.encode())
            if path.name == ADAPTER_CONFIG:  # holds the path of its base, which isn't content
                digest.update(_without_path(path))
            else:
                _add(digest, path)
        base = base_of(folder)
        if base is not None:
            digest.update(fingerprint(base).encode())
    elif Path(name).is_file():
        _add(digest, Path(name))
    elif name in EMBEDDED:
        digest.update(f"{EMBEDDED[name].sha256} {CONVERSION}".encode())
    else:
        digest.update(f"{name} {commit_of(name, revision)}".encode())
    return digest.hexdigest()


def inputs_of(settings: ModelSettings) -> dict[str, str]:
    """Return a model's part of a run's inputs: its name as typed → its content hash and how it is loaded."""
    content_hash = fingerprint(settings.model, settings.revision)
    how = " ".join(word for word in (settings.load, _dtype_of(settings)) if word)
    return {f"model {settings.model}": content_hash if how == "float32" else f"{content_hash} {how}"}


def device_of(settings: ModelSettings) -> str:
    """Return the device of a model: that of `--device-map`, else `cuda` where there is a GPU, else `cpu`."""
    return settings.device_map or ("cuda" if require("torch").cuda.is_available() else "cpu")


def _dtype_of(settings: ModelSettings) -> str:
    """Return the number format of a model's weights: that of `--dtype`, else the device's default."""
    if settings.dtype != "auto":
        return settings.dtype
    on_gpu = device_of(settings) != "cpu" and require("torch").cuda.is_available()
    return "bfloat16" if on_gpu else "float32"


def _add(digest: blake2b, path: Path) -> None:
    """Add a file's content to a digest."""
    with path.open("rb") as file:
        while chunk := file.read(2**22):
            digest.update(chunk)


def _microworld(name: str) -> Path:
    """Return the folder of a microworld's model, training it at first need.

    Raises:
        TunescopeError: no such size.
    """
    require("torch"), require("transformers")
    from tunescope.microworld.model import DEFAULT_SIZE, VERSION, cached_model, sizes_of_one_world

    match = _MICROWORLD.fullmatch(name)
    assert match is not None
    seed, size = int(match[1] or 0), match[2] or DEFAULT_SIZE
    if size not in sizes_of_one_world():
        raise TunescopeError(
            f"{name}: the microworld's model has no size {size}; the sizes are {', '.join(sizes_of_one_world())}"
        )
    of_size = "" if size == DEFAULT_SIZE else f"-{size}"
    folder = cache_root() / "models" / f"microworld-{seed}{of_size}.{VERSION}"
    if not folder.is_dir():
        say(f"{name}: training the tiny model of this world (once, about a minute)")
        folder.parent.mkdir(parents=True, exist_ok=True)
    with silence_libraries():
        return cached_model(folder, seed, size)


def _without_path(config: Path) -> bytes:
    """Return an adapter's configuration without the path of its base."""
    settings = json.loads(config.read_text("utf-8"))
    settings.pop("base_model_name_or_path", None)
    return json.dumps(settings, sort_keys=True).encode()


def commit_of(name: str, revision: str | None = None) -> str:
    """Return the commit of a hub id, from the hub or, where it can't be reached, from its cache."""
    hub, errors = require("huggingface_hub"), require("huggingface_hub.errors")
    transport = errors.HfHubHTTPError.__bases__[0]  # HTTPError of the client that the hub's library uses
    unreachable = (transport, OSError, ValueError)
    try:
        return str(hub.HfApi().model_info(name, revision=revision, timeout=20).sha)
    except errors.GatedRepoError as error:
        raise _gated(name) from error
    except unreachable as error:  # offline, refused or unknown: there may be a copy in the hub's cache
        is_name = not isinstance(error, errors.HFValidationError)
        config = hub.try_to_load_from_cache(name, "config.json", revision=revision) if is_name else None
        if isinstance(config, str):
            return Path(config).parent.name
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        is_answered = isinstance(error, errors.HfHubHTTPError | errors.HFValidationError)
        state = (
            "has no model of that name for us" if is_answered else "can't be reached, nor is there a copy in its cache"
        )
        raise TunescopeError(
            f"no folder {name} here, and the hub {state} ({reason}); the embedded models are: {', '.join(EMBEDDED)}"
        ) from error


def _gated(name: str) -> TunescopeError:
    page = f"{require('huggingface_hub.constants').ENDPOINT}/{name}"
    return TunescopeError(
        f"{name} is gated: accept its licence on {page}, set HF_TOKEN to your access token, and type the same command"
    )


def source(name: str) -> str:
    """Return what transformers and PEFT take for `name`: a folder, made or fetched if need be, or a hub id."""
    folder = local_folder(name)
    if folder is not None:
        return str(folder)
    if _MICROWORLD.fullmatch(name):
        return str(_microworld(name).resolve())
    return str(fetch(name).resolve()) if name in EMBEDDED else name


def load(which: str | ModelSettings, merge: bool = True) -> Loaded:
    """Load a model and its tokenizer, from safetensors or GGUF only; its own code runs only with `trust_remote_code`.

    With `merge` false, an adapter stays beside its base's weights if it can be switched off exactly. An adapter that
    changes biases or adds prompt tokens can't.

    Raises:
        TunescopeError: no such model, a gated one, one that isn't causal, no safetensors, no tokenizer, or a base that
            an adapter doesn't fit.
        MissingPackageError: torch, transformers or (for adapters) peft isn't installed.
    """
    settings = ModelSettings(model=which) if isinstance(which, str) else which
    name = settings.model
    folder = local_folder(name)
    base = base_of(folder) if folder is not None else None
    with silence_libraries():
        if folder is not None and base is not None:
            return _load_adapter(settings, folder, base, merge)
        return _load_whole(settings)


def _load_whole(settings: ModelSettings) -> Loaded:
    torch, transformers = require("torch"), require("transformers")
    name, (place, shared) = settings.model, _place(settings)
    if "gguf_file" in shared:
        say(f"{name}: dequantised. Its tokenizer is rebuilt from the file and may differ from the model's own")
    device, dtype = device_of(settings), _dtype_of(settings)
    options: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    if device != "cpu":
        options["device_map"] = device
    if settings.load is not None:
        require_quantizer(settings.load)
        options |= {"quantization_config": _quantization(settings.load, options["dtype"]), "device_map": device}
    try:
        tokenizer = _tokenizer(settings)
        model = transformers.AutoModelForCausalLM.from_pretrained(place, use_safetensors=True, **shared, **options)
    except (OSError, ValueError) as error:
        if isinstance(error.__cause__, require("huggingface_hub.errors").GatedRepoError):
            raise _gated(name) from error
        raise TunescopeError(f"{name}: can't be loaded ({reason_of(error)})") from error
    if "gguf_file" in shared:  # what says "quantised" would make save_pretrained write the packed form
        model.hf_quantizer, model.is_quantized = None, False  # a trainer asks the second
        del model.config.quantization_config
    require_causal(model.eval(), name)
    number_format = f"{settings.load} {dtype}" if settings.load else dtype
    content_hash = fingerprint(name, settings.revision)
    return Loaded(model.eval(), tokenizer, name, content_hash, False, number_format, str(model.device))


def is_instruction_tuned(settings: ModelSettings) -> bool:
    """Tell whether a model brings a chat template, which base models lack; loads its tokenizer alone."""
    folder = local_folder(settings.model)
    base = base_of(folder) if folder is not None else None
    if base is not None:
        return is_instruction_tuned(replace(settings, model=base, revision=None))
    with silence_libraries():
        return bool(_tokenizer(settings).chat_template)


def load_tokenizer(name: str) -> tuple[PreTrainedTokenizerBase, frozenset[int]]:
    """Load a model's tokenizer without its weights; return it with the ids at which the model's turn ends.

    Raises:
        TunescopeError: no such model, or no tokenizer.
        MissingPackageError: transformers isn't installed.
    """
    transformers = require("transformers")
    folder = local_folder(name)
    base = base_of(folder) if folder is not None else None
    place, shared = _place(ModelSettings(model=base or name))
    try:
        has_own = folder is not None and base is not None and (folder / "tokenizer_config.json").is_file()
        tokenizer = _tokenizer(ModelSettings(model=name if has_own or base is None else base))
        config = transformers.AutoConfig.from_pretrained(place, **shared)
    except (OSError, ValueError) as error:
        raise TunescopeError(f"{name}: can't be loaded ({reason_of(error)})") from error
    try:
        config = transformers.GenerationConfig.from_pretrained(place, **shared)
    except OSError:
        say(f"{name}: it has no generation configuration; its turn is taken to end where its configuration says")
    configured = getattr(config, "eos_token_id", None)
    ids = configured if isinstance(configured, list | tuple) else [configured]
    return tokenizer, frozenset(i for i in (*ids, tokenizer.eos_token_id) if isinstance(i, int))


def describe(settings: ModelSettings) -> str:
    """Name a model for a reader, with a remark where it is itself instruction-tuned."""
    tuned = ", itself instruction-tuned (it brings a chat template)" if is_instruction_tuned(settings) else ""
    return settings.model + tuned


def _tokenizer(settings: ModelSettings) -> PreTrainedTokenizerBase:
    place, shared = _place(settings)
    folder = Path(place)
    if (
        folder.is_dir()
        and "gguf_file" not in shared
        and not any(_OF_TOKENIZER.search(p.name) for p in folder.iterdir())
    ):
        raise TunescopeError(
            f"{settings.model}: found no tokenizer in the folder; expected tokenizer.json and tokenizer_config.json. "
            "Copy them from the model that this one was made from"
        )
    tokenizer: PreTrainedTokenizerBase = require("transformers").AutoTokenizer.from_pretrained(place, **shared)
    return tokenizer


def _place(settings: ModelSettings) -> tuple[str, dict[str, Any]]:
    """Return what `from_pretrained` takes first, and the options that model and tokenizer share."""
    place = source(settings.model)
    shared: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    if Path(place).is_dir():
        shared["local_files_only"] = True
    elif Path(place).is_file():
        require("gguf")
        shared |= {"gguf_file": Path(place).name, "local_files_only": True}
        place = str(Path(place).parent)
    elif settings.revision is not None:
        shared["revision"] = settings.revision
    return place, shared


def _quantization(load: str, dtype: Any) -> Any:
    config = require("transformers").BitsAndBytesConfig
    if load == "8bit":
        return config(load_in_8bit=True)
    return config(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _load_adapter(settings: ModelSettings, folder: Path, base_name: str, merge: bool) -> Loaded:
    peft, transformers = require("peft"), require("transformers")
    name = settings.model
    base = load(replace(settings, model=base_name, revision=None))
    marker = json.loads((folder / MARKER).read_text("utf-8")) if (folder / MARKER).is_file() else {}
    if marker.get("base_hash", base.hash) != base.hash:
        raise TunescopeError(f"{name}: its base {base_name} is another model now than the one it was tuned on")
    try:
        peft_model = peft.PeftModel.from_pretrained(base.model, folder, use_safetensors=True)
        is_apart = not merge and _can_be_switched_off(peft_model)
        model = peft_model.get_base_model() if is_apart else peft_model.merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise TunescopeError(
            f"{name}: the adapter doesn't load on its base {base_name} ({reason_of(error)})"
        ) from error
    tokenizer = base.tokenizer
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if settings.load is None:
        model.requires_grad_(True)  # as a model that never had an adapter; PEFT froze its weights
    adapter = peft_model if is_apart else None
    return Loaded(model.eval(), tokenizer, name, fingerprint(name), True, base.dtype, base.device, adapter)


def _can_be_switched_off(peft_model: Any) -> bool:
    """Tell whether a PEFT model without its adapter is its base, to the bit."""
    configs = peft_model.peft_config.values()
    return all(not config.is_prompt_learning and getattr(config, "bias", "none") == "none" for config in configs)
