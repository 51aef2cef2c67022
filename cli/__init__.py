"""The command line: one file a command, which parses, calls the library, renders, and leaves with an exit code.

Installed as `dfer_cli`. Heavy modules are imported inside the commands, so that `dfer --help` answers at once.
"""
