"""The command line: one module per command, which parses, calls the library, renders, and sets the exit code.

Installed as `dfer_cli`. Commands import heavy modules inside their functions, so that `dfer --help` is fast.
"""
