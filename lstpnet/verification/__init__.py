"""`dfer verify` of a run: its files against their hashes, its predictions against its data and its model."""
