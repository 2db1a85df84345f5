"""Weights of any origin, and complete snapshots."""

from src.checkpoint.weights import load_weights, save_weights

__all__ = ["load_weights", "save_weights"]
