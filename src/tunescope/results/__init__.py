"""What one room writes into a run and another reads: a file of typed records per verb, on the base in `record`."""
