"""Prepared datasets for training: open them, read single clips, read batches."""
