"""The settings that every verb with an oracle has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from tunescope.errors import SettingsError
from tunescope.oracle.api import is_url
from tunescope.oracle.budget import Price
from tunescope.oracle.fake import FAKE_PREFIX
from tunescope.oracle.local import is_local
from tunescope.runs import INPUT, NOT_IN_KEY
from tunescope.settings import above, at_least, group


@dataclass(frozen=True, kw_only=True)
class OracleSettings:
    """Whom to ask, how, and for how much."""

    HELP_GROUP: ClassVar[str] = "Oracle"

    oracle: str = field(metadata=INPUT)
    """Whom to ask: the URL of an OpenAI-compatible server (key in OPENAI_API_KEY), local, local:GGUF or fake:FILE."""

    served_model: str | None = field(default=None, metadata={**INPUT, "alias": ("oracle_model",)})
    """What the server calls the model; its only one by default."""

    temperature: float = field(default=0.0, metadata=at_least(0))
    """Temperature of the oracle's replies; at 0 the same prompt is never asked twice."""

    max_new_tokens: int = field(default=1024, metadata=at_least(1))
    """Longest reply in tokens."""

    seed: int = 0
    """Sent to the server where the temperature is above 0; a negative one isn't sent."""

    response_format: Literal["auto", "json", "tags"] = field(default="auto", metadata={"alias": ("replies",)})
    """How replies are asked for: json (the server holds the model to a schema), tags (text, in sections between tags),
    or auto, which finds out with one small call whether the server can do json."""

    max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = field(
        default="auto", metadata={**NOT_IN_KEY, "alias": ("length_name",)}
    )
    """The field that a call sends the longest reply in; auto takes the newer one once a model refuses the older."""

    concurrency: int = field(default=64, metadata={**group("Calls"), **NOT_IN_KEY, **at_least(1)})
    """Calls at a time at most; fewer while the server says that they are too many. `local` takes 8."""

    timeout: float = field(default=120.0, metadata={**group("Calls"), **NOT_IN_KEY, **above(0)})
    """Seconds that one call to a server may take."""

    deadline: float = field(default=1800.0, metadata={**group("Calls"), **NOT_IN_KEY, **above(0)})
    """Seconds that a row may take from its first call on, with all waiting and trying again."""

    price: str | None = field(default=None, metadata={**group("Cost"), **NOT_IN_KEY})
    """Money per million tokens as IN,OUT, for --max-cost and for what is printed."""

    max_tokens_total: int | None = field(default=None, metadata={**group("Cost"), **NOT_IN_KEY, **at_least(1)})
    """Stop before calls use more tokens than this, those of all replies in the journal included."""

    max_cost: float | None = field(default=None, metadata={**group("Cost"), **NOT_IN_KEY, **above(0)})
    """Stop before calls cost more than this; needs --price."""

    journal: str | None = field(default=None, metadata={**group("Journal and batches"), **NOT_IN_KEY})
    """The file of all replies; journal.sqlite in the run folder by default. That of another run answers for free."""

    batch: str | None = field(default=None, metadata={**group("Journal and batches"), **NOT_IN_KEY})
    """Call nobody: write the calls that the journal doesn't have into this file, in OpenAI's batch format."""

    batch_replies: tuple[str, ...] = field(default=(), metadata={**group("Journal and batches"), **NOT_IN_KEY})
    """Output and error files of batches, taken into the journal first."""


def validate_oracle(settings: OracleSettings) -> None:
    """Raise `SettingsError` for what can't work."""
    if settings.max_cost is not None and settings.price is None:
        raise SettingsError("--max-cost without --price: add --price IN,OUT per million tokens")
    if settings.price is not None:
        Price.parse(settings.price)
    if not (is_url(settings.oracle) or is_local(settings.oracle) or settings.oracle.startswith(FAKE_PREFIX)):
        raise SettingsError(
            f"--oracle {settings.oracle}: expected http://HOST:PORT/v1, local, local:FILE.gguf or fake:FILE"
        )
    if settings.batch is not None and not (is_url(settings.oracle) and settings.served_model):
        raise SettingsError(
            f"--batch {settings.batch} with --oracle {settings.oracle}: expected a server's URL and --served-model, "
            "since nobody is called who could say which models there are"
        )
    if settings.served_model is not None and not is_url(settings.oracle):
        raise SettingsError(f"--served-model is for servers; with --oracle {settings.oracle} leave it out")
