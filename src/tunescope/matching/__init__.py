"""Words in common: the same runs of words in two texts, found with a suffix array or in one pass over a stream."""
