"""One file per dataset: its annotation files to a listing of videos."""
