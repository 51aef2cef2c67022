"""Turn runs and published results into tables: rows, systems, significance tests, formats."""
