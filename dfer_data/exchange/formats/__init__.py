"""The formats of `dfer export`, one file per format."""
