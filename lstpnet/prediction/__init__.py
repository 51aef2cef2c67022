"""Models on videos: windows, persons, timelines, figures."""
