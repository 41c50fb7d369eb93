"""cogd: WiFi CSI in, signed models, measured events out."""

__version__ = "0.1.0"
