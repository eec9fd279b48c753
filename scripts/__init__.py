"""Command lines; `_cli` is what they share."""
