"""Models: find, fetch, load and generate. Nothing heavy is imported until a function is called."""

from tunescope.models.embedded import DEFAULT, EMBEDDED, EmbeddedModel, cache_root, cached, fetch
from tunescope.models.generate import Generated, generate, stop_ids
from tunescope.models.lazy import silence_libraries
from tunescope.models.load import Loaded, describe, fingerprint, inputs_of, is_instruction_tuned, load, load_tokenizer
from tunescope.models.settings import LoadSettings, ModelSettings, with_model

__all__ = [
    "DEFAULT",
    "EMBEDDED",
    "EmbeddedModel",
    "Generated",
    "LoadSettings",
    "Loaded",
    "ModelSettings",
    "cache_root",
    "cached",
    "describe",
    "fetch",
    "fingerprint",
    "generate",
    "inputs_of",
    "is_instruction_tuned",
    "load",
    "load_tokenizer",
    "silence_libraries",
    "stop_ids",
    "with_model",
]
