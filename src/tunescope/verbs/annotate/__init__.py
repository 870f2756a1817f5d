"""`annotate`: studies in which people mark answers, how far they agree, and what their marks say."""
