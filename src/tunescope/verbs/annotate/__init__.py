"""`annotate`: people mark answers, and what a judge is worth beside them."""
