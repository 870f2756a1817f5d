"""The tasks of `bench` (`questions/tasks` has a YAML file for each), suites (`../suites`), a person's own questions.

How a verb uses them, with lm-eval's own evaluator and any of its models:

    suite = catalogue.find_suite(["open-llm"])                # or task names, QUESTIONS.jsonl, lm-eval:NAME
    built = [build.build(use, data_folder, seed=1234) for use in suite.uses if not use.lm_evals]
    tasks = {task.task_name: task for each in built for task in each.tasks}  # MMLU's subjects one by one
    results = lm_eval.evaluate(lm, {"tasks": tasks}, limit=suite.limit, bootstrap_iters=0)
    results["results"][task_name][f"{use.metric},none"]

(`lm_eval.simple_evaluate(model=lm, tasks=[*tasks.values()], fewshot_random_seed=1234)` does the same. It reads all of
lm-eval's own YAML first, unless it gets `task_manager=TaskManager(include_defaults=False)`, and calls pip at the end.)

- `Built.reason` says what is missing: without tasks the whole use, else some of its subjects. Name it in the results.
- A use with `lm_evals` is one of lm-eval's own tasks, which needs the hub: `TaskManager().load([use.name])` makes it.
- `LocalTask.chance` and `LocalTask.cuts` belong beside each score; `catalogue.combine` joins MMLU's subjects and
  `catalogue.summarize` forms the suite's mean and the means of the categories.
"""
