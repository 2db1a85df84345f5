"""A training run: what is built, the loop, its log."""
