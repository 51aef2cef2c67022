"""Storage: local files, folders and URLs, their locks, the bounded cache of URLs."""
