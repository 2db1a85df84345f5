"""Training steps, one update rule per file: ``step(sub_batches) -> named scalar losses``."""
