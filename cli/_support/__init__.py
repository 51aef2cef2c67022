"""What the commands share: options, settings, the console, exit codes, views. Private to the command line."""
