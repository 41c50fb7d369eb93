"""The CSI simulator: a room, bodies, radio and an ESP32's impairments, with the truth known."""
