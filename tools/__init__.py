"""Programs: python -m tools.NAME."""
