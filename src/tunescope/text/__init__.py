"""Text: words, n-grams, near-duplicates."""
