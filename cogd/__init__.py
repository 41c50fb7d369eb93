"""cogd: WiFi CSI in, signed models, measured events out."""

import os

__version__ = "0.1.0"

# ONNX Runtime reports to its maker, and keeps a device id in the user's home, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
