"""The nine sources of paired rows (the FACO paper, section 2.1): one file each, with one `SOURCE`.

A source says which local files hold its training split, and makes an item of a record. To add one, add its file:

    SOURCE = Source(
        name="colours",
        domain="domain knowledge",
        about="Which colour something has.",
        licence="AUTHOR/colours; MIT",
        train=("colours/train",),
        n_train=1200,
        columns=("question", "choices", "answerKey"),
        read=read_labelled,
    )

`name` is also the name of its file. `train` and `stand_ins` are paths in the data folder without their suffix. Where no
training split is at hand, `stand_ins` are other rows of the data set that no benchmark's local file holds. Results say
so.
"""
