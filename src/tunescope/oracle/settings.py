"""The settings that every verb with an oracle has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from tunescope.errors import SettingsError
from tunescope.oracle.api import is_url, refuse_secrets
from tunescope.oracle.budget import Price
from tunescope.oracle.fake import FAKE_PREFIX
from tunescope.oracle.fake_microworld import microworld_fake
from tunescope.oracle.local import is_local
from tunescope.runs import INPUT, NOT_IN_KEY
from tunescope.settings import above, at_least, group


@dataclass(frozen=True, kw_only=True)
class OracleSettings:
    """Which model to ask, how, and at what cost."""

    HELP_GROUP: ClassVar[str] = "Oracle"

    oracle: str = field(metadata={**INPUT, "refuse": refuse_secrets})
    """The model to ask: the URL of an OpenAI-compatible server (key in OPENAI_API_KEY), local (the embedded model),
    local:GGUF, or a fake: fake:FILE, or fake:microworld:80%, which gets 80 % of a microworld's rows right."""

    served_model: str | None = field(default=None, metadata={**INPUT, "alias": ("oracle_model",)})
    """The server's name for the model. By default the server's only model."""

    temperature: float = field(default=0.0, metadata=at_least(0))
    """Temperature of the oracle's replies. At 0 the same prompt is never sent twice."""

    max_new_tokens: int = field(default=1024, metadata=at_least(1))
    """Maximum length of a reply in tokens."""

    seed: int = 0
    """Seed that is sent to the server if the temperature is above 0. A negative seed isn't sent. The seed also decides
    where fake:microworld:80% is wrong."""

    response_format: Literal["auto", "json", "tags"] = field(default="auto", metadata={"alias": ("replies",)})
    """Format of the replies: json (the server holds the model to a schema), tags (text, in sections between tags), or
    auto, which makes one small call to test whether the server supports json."""

    max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = field(
        default="auto", metadata={**NOT_IN_KEY, "alias": ("length_name",)}
    )
    """Name of the field that limits a reply's length. With auto, the newer name is used once a model rejects the older
    one."""

    concurrency: int = field(default=64, metadata={**group("Calls"), **NOT_IN_KEY, **at_least(1)})
    """Maximum number of calls at a time. The number drops while the server says there are too many. `local` takes 8."""

    timeout: float = field(default=120.0, metadata={**group("Calls"), **NOT_IN_KEY, **above(0)})
    """Seconds that one call to a server may take."""

    deadline: float = field(default=1800.0, metadata={**group("Calls"), **NOT_IN_KEY, **above(0)})
    """Seconds that a row may take from its first call, including waits and retries."""

    again: bool = field(default=False, metadata={**group("Calls"), **NOT_IN_KEY})
    """Also ask again for items that were refused in an earlier run because of their own content or length."""

    price: str | None = field(default=None, metadata={**group("Cost"), **NOT_IN_KEY})
    """Price per million tokens as IN,OUT, for --max-cost and for the printed cost."""

    max_tokens_total: int | None = field(default=None, metadata={**group("Cost"), **NOT_IN_KEY, **at_least(1)})
    """Stop before calls use more tokens than this. Replies in the journal count too."""

    max_cost: float | None = field(default=None, metadata={**group("Cost"), **NOT_IN_KEY, **above(0)})
    """Stop before calls cost more than this. It needs --price."""

    journal: str | None = field(default=None, metadata={**group("Journal and batches"), **NOT_IN_KEY})
    """The file that keeps all replies, by default journal.sqlite in the run folder. Replies from another run's journal
    cost nothing."""

    batch: str | None = field(default=None, metadata={**group("Journal and batches"), **NOT_IN_KEY})
    """Make no calls. Write the calls that have no reply in the journal to this file, in OpenAI's batch format."""

    batch_replies: tuple[str, ...] = field(default=(), metadata={**group("Journal and batches"), **NOT_IN_KEY})
    """Output and error files of batches. They are read into the journal first."""


def validate_oracle(settings: OracleSettings) -> None:
    """Raise `SettingsError` for what can't work."""
    refuse_secrets(settings.oracle)
    if settings.max_cost is not None and settings.price is None:
        raise SettingsError("--max-cost without --price: add --price IN,OUT per million tokens")
    if settings.price is not None:
        Price.parse(settings.price)
    if not (is_url(settings.oracle) or is_local(settings.oracle) or settings.oracle.startswith(FAKE_PREFIX)):
        raise SettingsError(
            f"--oracle {settings.oracle}: expected http://HOST:PORT/v1, local, local:FILE.gguf or fake:FILE"
        )
    microworld_fake(settings.oracle, settings.seed)
    if settings.batch is not None and not (is_url(settings.oracle) and settings.served_model):
        raise SettingsError(
            f"--batch {settings.batch} with --oracle {settings.oracle}: expected a server's URL and --served-model, "
            "since no server is called that could list its models"
        )
    if settings.served_model is not None and not is_url(settings.oracle):
        raise SettingsError(f"--served-model is for servers; with --oracle {settings.oracle} leave it out")
