"""Row formats: one module each, all with the same three functions and three names.

    NAME                              the word that `--format` takes
    ALSO                              other people's words for it
    SHAPE                             what a record looks like, for errors
    detect(record, hints) -> dict[str, str] | None
                                      our column names → the file's, or None if it isn't this;
                                      columns that may be missing are named even where they are
    parse(record, columns) -> Conversation
    render(row, columns) -> dict      the record of a changed row, other columns unchanged;
                                      raises Refused for what the format can't hold

`hints` are the user's own names for columns (`--columns output=answer`).
"""
