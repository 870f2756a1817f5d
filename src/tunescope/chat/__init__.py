"""From a conversation to token ids: with one chat template, the same in training and generation.

The template is the model's own, one of `NAMED`, or a file. A turn's sequence is the ids that the model is given when it
answers, the ids of its answer, and the token that ends its turn. The last two are supervised, nothing else. Where that
can't be established, the row is refused with a reason.
"""

from tunescope.chat.chat import Chat
from tunescope.chat.sequences import Inconsistent, SupervisedTokens, TurnParts, Unrenderable
from tunescope.chat.templates import NAMED, parse_template_args, read_template

__all__ = [
    "NAMED",
    "Chat",
    "Inconsistent",
    "SupervisedTokens",
    "TurnParts",
    "Unrenderable",
    "parse_template_args",
    "read_template",
]
