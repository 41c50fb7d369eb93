"""The motion head."""
