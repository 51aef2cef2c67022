"""Replications: claims as data files, what a lab measures on its copy of a dataset, and the result that it sends."""
