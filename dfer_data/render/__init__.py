"""Render tables and text as Markdown, LaTeX and HTML."""
