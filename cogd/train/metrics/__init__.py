"""Figures, each with its exact definition, its baseline and its interval: one kind a module."""
