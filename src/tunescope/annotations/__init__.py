"""What people said of answers, kept as it is made: the marks of a study, and who may make them."""
