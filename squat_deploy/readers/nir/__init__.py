"""NIR files."""
