"""Faults that a single row shows: one module each, all with the same names.

NAME          the column and the key in `faults`
MEANING       one clause for tables and docs
find(row, answers, settings) -> str | None
              what was seen, or None; `answers` are the row's assistant messages (listed once
              for all faults), `settings` the verb's CheckSettings
"""
