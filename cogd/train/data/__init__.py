"""Data sets: every kind of recording becomes labelled windows."""
