"""The running daemon: apps, engine, tick."""
