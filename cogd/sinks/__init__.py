"""Sinks: plugins that take events."""
