"""How a model is asked for its replies: as JSON, which the server holds the model to, or as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

ReplyFormat = Literal["json", "tags"]
"""json: the call carries a schema; tags: text, as tagged sections or with a verdict behind its marker."""
FORMAT_WORDS: Mapping[ReplyFormat, str] = {"json": "as JSON", "tags": "as text"}
"""How a sentence calls a format."""
