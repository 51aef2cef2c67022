"""Figures per group: of a column that a user names."""
