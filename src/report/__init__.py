"""One HTML page about any runs."""
