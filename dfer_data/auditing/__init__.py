"""Clips that are copies of each other, in one prepared dataset or across several: found, written down, shown."""
