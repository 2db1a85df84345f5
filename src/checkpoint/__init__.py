"""Weights of any origin, and complete snapshots."""

from src.checkpoint.weights import load_weights, restored, save_weights

__all__ = ["load_weights", "restored", "save_weights"]
