"""Workarounds for MindSpore and its devices, so that networks and methods read like their papers."""
