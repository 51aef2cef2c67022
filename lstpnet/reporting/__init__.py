"""Runs and published rows to tables: rows, systems, tests of significance, formats."""
