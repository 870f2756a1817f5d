"""Judgements of answers: records of them, files that hold them, and the numbers computed from them.

`records` holds the types: a judgement of two answers, or the scores of one. `files` and `formats/` read judgement
files, `parsing` reads a judge's reply. `win_rates`, `scores` and `ranking` compute numbers from records. `summary` and
`outcome` make a run of them. `board` ranks the systems of several runs, and `comparable` says how the set-up of runs
differs. Nothing here asks a judge.
"""
