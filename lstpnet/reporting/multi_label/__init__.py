"""Figures on clips with several labels."""
