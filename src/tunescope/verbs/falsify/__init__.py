"""`falsify`: rows with a known share of false responses (paper 1, section 2)."""
