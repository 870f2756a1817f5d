"""What judges said of answers: records of it, files that hold it, and the numbers made of it, with their errors.

`records` is what travels: a judgement of one item. `formats/` and `files` read files that others made; `parsing` reads
a judge's reply. `win_rates`, `scores` and `ranking` are pure functions from records to numbers. Nothing here asks.
"""
