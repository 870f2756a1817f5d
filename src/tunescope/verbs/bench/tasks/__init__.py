"""The tasks of `bench`: a YAML file per task here, suites in `../suites`, a person's own questions as JSON lines.

How a verb uses them, with lm-eval's own evaluator and any of its models:

    suite = catalogue.find_suite(["open-llm"])             # or task names, QUESTIONS.jsonl, lm-eval:NAME
    built = [build.build(use, data_folder) for use in suite.uses]
    own = [task for each in built for task in each.tasks]  # a `LocalTask` each, MMLU's subjects one by one
    results = lm_eval.simple_evaluate(
        model=lm, tasks=own, task_manager=TaskManager(include_defaults=False),  # the default one takes 15 s to make
        limit=suite.limit, fewshot_random_seed=seed,
    )
    results["results"][task.task_name][f"{use.metric},none"]

- `Built.reason` says what is missing: without tasks the whole use, else some of its subjects. Name it in the results.
- A use with `lm_evals` is one of lm-eval's own tasks, which needs the hub: don't build it, but give `use.name` to
  lm-eval, beside ours.
- `fewshot_random_seed` is the seed of the exemplars, in both ways of drawing them (`build.build`).
- `LocalTask.chance` and `LocalTask.cuts` belong beside each score; `catalogue.combine` joins MMLU's subjects and
  `catalogue.summarize` forms the suite's mean and the means of the categories.
"""
