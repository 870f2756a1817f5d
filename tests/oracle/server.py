"""The server of tests is the shipped one; this is its name in tests."""

from tunescope.oracle.hostile.server import ABRUPT, RESET, Said, Server, completion, echo, serving

__all__ = ["ABRUPT", "RESET", "Said", "Server", "completion", "echo", "serving"]
