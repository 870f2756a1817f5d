"""`falsify`: rows with a known share of false responses (the FACO paper, section 2)."""
