"""Ask about rows with bespokelabs-curator, in an environment of its own: for benchmarks/oracle.py.

    PYTHON curator_rows.py URL ROWS CACHE CONCURRENCY

Its limits per minute are set out of the way. The last line of stdout is JSON: seconds and CPU seconds of the call, and
the rows it returned. Its constructor makes one call more, to read a server's limits from the headers.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Ask, or go on from the cache."""
    url, rows, cache, concurrency = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    found = importlib.util.find_spec("litellm")
    assert found is not None
    os.environ |= {
        "OPENAI_API_KEY": "none",
        "TELEMETRY_ENABLED": "false",
        "TIKTOKEN_CACHE_DIR": str(Path(str(found.origin)).parent / "litellm_core_utils" / "tokenizers"),  # it ships one
    }
    from bespokelabs import curator
    from datasets import Dataset

    records = [json.loads(line) for line in rows.read_text("utf-8").splitlines()]
    data = Dataset.from_list([{"prompt": f"{record['instruction']}\n\n{record['output']}"} for record in records])
    begun, used = time.perf_counter(), time.process_time()

    class Asker(curator.LLM):
        def prompt(self, input: dict[str, str]) -> str:
            return input["prompt"]

        def parse(self, input: dict[str, str], response: str) -> dict[str, str]:
            return {"prompt": input["prompt"], "response": response}

    asker = Asker(
        model_name="tiny",
        backend="openai",
        generation_params={"max_tokens": 1024, "temperature": 0.0},
        backend_params={
            "base_url": url,
            "max_concurrent_requests": concurrency,
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 10_000_000_000,
        },
    )
    came = asker(data, working_dir=cache)
    found = [text for text in came.dataset["response"] if text]
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    print(json.dumps({"seconds": seconds, "cpu": used, "rows": len(found)}))


if __name__ == "__main__":
    main()
