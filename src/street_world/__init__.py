"""A generated street world in two domains, for everybody without a data set."""
