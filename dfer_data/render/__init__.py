"""Tables and text for people: Markdown, HTML."""
