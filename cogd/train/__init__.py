"""cogd-train: from recordings or simulation to a signed, self-checking bundle. Needs the extra `train`."""
