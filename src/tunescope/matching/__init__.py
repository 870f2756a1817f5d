"""Runs of words that two texts share, found with a suffix array or by reading all texts once."""
