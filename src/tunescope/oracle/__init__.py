"""Ask a model behind a server. Nothing heavy is imported until a function is called."""

from tunescope.oracle.client import Client, Refused, Reply, Unreachable, is_url

__all__ = ["Client", "Refused", "Reply", "Unreachable", "is_url"]
