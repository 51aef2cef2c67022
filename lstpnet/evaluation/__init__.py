"""Logits of clips, metrics, features, attention, other datasets."""
