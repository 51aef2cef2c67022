"""The shipped recipes, one TOML file each, and groups of their settings."""
