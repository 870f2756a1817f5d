"""`repair`: an oracle rates, shortens or rewrites rows; a row that can't be mended stays as it was, with the reason.

One file per repair, each a class with the members of `work.Repair`. What they share: `work` (rows in → kept and
changed, with reasons and lineage) and `pairs` (which rows a repair is defined for).
"""
