"""Inspect prepared datasets: verify, compare with official counts, statistics, contact sheets, a page."""
