"""The pose head."""
