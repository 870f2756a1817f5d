"""A server of the API for benchmarks: it answers every call alike after the same time, and counts."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def reply(text: str) -> bytes:
    """Return a whole response in which the model says a text."""
    body = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "tiny",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 12, "total_tokens": 212},
    }
    written = json.dumps(body).encode()
    return HEAD % len(written) + written


@dataclass
class Server:
    """Where it is, and what it has counted, in memory that both processes see."""

    url: str
    counted: Any

    def clear(self) -> None:
        """Count from nothing."""
        self.counted[:] = [0.0] * len(self.counted)

    @property
    def calls(self) -> int:
        """Calls that came."""
        return int(self.counted[0])

    @property
    def answered(self) -> int:
        """Calls that were answered."""
        return int(self.counted[1])

    @property
    def seconds(self) -> float:
        """From the first call's coming to the last reply's leaving."""
        return float(self.counted[3] - self.counted[2])

    @property
    def cpu(self) -> float:
        """The server's CPU seconds over its life."""
        return float(self.counted[4])


def _serve(latency: float, said: bytes, counted: Any, told: Any) -> None:
    life = time.process_time()

    class Talk(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.came = transport, b""

        def data_received(self, data: bytes) -> None:
            self.came += data
            while True:
                head, found, rest = self.came.partition(b"\r\n\r\n")
                if not found:
                    return
                lines = head.lower().split(b"\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
                if len(rest) < length:
                    return
                self.came = rest[length:]
                probe = b'"messages": []' in rest[:length]  # curator asks nothing once, to read the headers
                if not probe:
                    counted[0] += 1
                    counted[2] = counted[2] or time.monotonic()
                asyncio.get_running_loop().call_later(latency, self.answer, probe)

        def answer(self, probe: bool) -> None:
            if not self.transport.is_closing():
                self.transport.write(said)
            if not self.transport.is_closing() and not probe:
                counted[1] += 1
                counted[3] = time.monotonic()
                counted[4] = time.process_time() - life

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Talk, "127.0.0.1", 0, backlog=512)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def serving(latency: float, text: str = "<short_response>Short.</short_response>") -> Iterator[Server]:
    """Serve in a process of its own while the block runs; every reply is `text`."""
    ours, theirs = multiprocessing.Pipe()
    counted = multiprocessing.Array("d", 5, lock=False)
    process = multiprocessing.Process(target=_serve, args=(latency, reply(text), counted, theirs), daemon=True)
    process.start()
    try:
        yield Server(f"http://127.0.0.1:{ours.recv()}/v1", counted)
    finally:
        process.terminate()
        process.join()
