"""Predictions for videos: windows, persons, timelines, figures."""
