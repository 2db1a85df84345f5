"""Scores, predictions and timings of a network."""
