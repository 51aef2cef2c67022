"""Model files: the pinned list, downloads verified by hash, and files that the user puts into the cache."""
