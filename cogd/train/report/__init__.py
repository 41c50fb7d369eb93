"""Reports of training runs: text, pictures, one page; and the log that each finished run adds a line to."""
