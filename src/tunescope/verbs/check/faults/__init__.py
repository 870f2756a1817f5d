"""Faults that a single row shows: one module each, all with the same names.

NAME          the column and the key in `faults`
MEANING       one clause for tables and docs
find(row, answers, settings) -> Evidence | None
              what was seen and whether it settles the matter, or None; `answers` are the row's
              assistant messages (listed once for all faults), `settings` the verb's CheckSettings
"""
