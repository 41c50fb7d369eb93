"""What networks are made of. Each head's networks stand in its folder of `cogd.train.heads`."""
