"""Heads: plugins that turn a model's outputs into events. The contract is in `base`; a packaged head is a folder."""
