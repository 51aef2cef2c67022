"""Model files: the pinned list, downloads checked by hash, files placed by hand."""
