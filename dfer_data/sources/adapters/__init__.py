"""One adapter per file: it turns the annotation files of a dataset into a listing of videos."""
