"""What runs models: the contract of backends and what they share."""
