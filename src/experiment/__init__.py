"""Methods times seeds from a common start: a table, curves and pictures."""
