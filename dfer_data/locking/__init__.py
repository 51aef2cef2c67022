"""Locks: what a prepared dataset is, without one pixel, so that others can rebuild it from their own videos."""
