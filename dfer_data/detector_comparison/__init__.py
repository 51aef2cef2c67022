"""Compare detectors on a folder of videos."""
