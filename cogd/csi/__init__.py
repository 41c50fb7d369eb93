"""Channel state information, pure: frames, tones, windows and the state of a link. No clock, socket or file."""
