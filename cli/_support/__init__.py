"""Code that the commands share: options, settings, console, exit codes, views. Private to the command line."""
