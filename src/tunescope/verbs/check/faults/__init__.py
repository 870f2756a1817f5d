"""Faults that one row shows by itself: one module each, all with the same names.

    NAME          the column and the key in `faults`
    MEANING       one clause, for tables and docs
    find(row, settings) -> str | None
                  what was found, or None; `settings` is the verb's CheckSettings
"""
