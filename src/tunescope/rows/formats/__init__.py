"""Row formats: one module each, all with the same three functions and two names.

    NAME                              the word that `--format` takes
    SHAPE                             what a record looks like, for errors
    detect(record, hints) -> dict[str, str] | None
                                      our column names → the file's, or None if it isn't this
    parse(record, columns) -> Conversation
    render(row, columns) -> dict      the record again, other columns unchanged

`hints` are the user's own names for columns (`--columns output=answer`).
"""
