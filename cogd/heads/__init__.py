"""Heads: plugins that turn a backend's outputs into one event's fields."""
