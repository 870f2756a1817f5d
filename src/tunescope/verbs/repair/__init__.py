"""`repair`: an oracle rates, shortens or rewrites rows. A row that can't be repaired stays as it was, with the reason.

One file per repair, each a class with the members of `records.Repair`. What they share: `settings`, `work` (ask the
oracle about every row), `repaired_rows` (each row kept or changed, with its reason and lineage) and `instruction_pair`
(which rows a repair applies to).
"""
