"""The count head."""
