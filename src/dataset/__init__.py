"""Data sets: folders of images and labels -> samples -> batches."""
