"""Who answers better: judgements of answers, and the numbers made of them, with their errors.

records: what travels here, a judgement of one item. pairs, grades: pure functions from records to numbers. verdicts:
what a judge's reply says. formats/: judgement files that others made. recompute and leaderboard need no oracle.
"""
