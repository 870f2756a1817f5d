"""Ask about rows with distilabel 1.5.3, in an environment of its own: for benchmarks/oracle.py.

    PYTHON distilabel_rows.py URL ROWS CACHE CONCURRENCY

One `TextGeneration` over batches of CONCURRENCY rows, as many as it then asks at a time. The last line of stdout is
JSON: seconds and CPU seconds of the pipeline's run, those of its processes included, and the rows it returned.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path


def cpu() -> float:
    """Return the CPU seconds of this process and of those that it has collected."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Run the pipeline, or go on with it from its cache."""
    os.environ["DISTILABEL_LOG_LEVEL"] = "WARNING"  # else it says each call
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    url, rows, cache, concurrency = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    records = [json.loads(line) for line in rows.read_text("utf-8").splitlines()]
    data = [{"instruction": f"{record['instruction']}\n\n{record['output']}"} for record in records]
    begun, used = time.perf_counter(), cpu()
    with Pipeline(name="peer", cache_dir=cache) as pipeline:
        load = LoadDataFromDicts(data=data, batch_size=concurrency)
        model = OpenAILLM(
            model="tiny", base_url=url, api_key="none", generation_kwargs={"max_new_tokens": 1024, "temperature": 0.0}
        )
        load >> TextGeneration(llm=model, input_batch_size=concurrency)
    came = pipeline.run(use_cache=True)
    answered = [text for text in came["default"]["train"]["generation"] if text is not None]
    seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "cpu": cpu() - used, "rows": len(answered)}))


if __name__ == "__main__":
    main()
