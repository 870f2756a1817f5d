"""The kinds of evidence, a file each: what speaks for a row having taught an answer."""
