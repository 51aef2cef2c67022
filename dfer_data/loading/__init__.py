"""Prepared datasets for training: opened, read clip by clip, in batches."""
