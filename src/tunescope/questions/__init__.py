"""Questions whose answers are known: benchmark tasks over local files, a person's own, and programming problems."""
