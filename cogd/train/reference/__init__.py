"""Networks once more, in NumPy and double precision: what golden pairs and parity are checked against.

Each head has its own in its folder, written from the layers' definitions and not from the torch modules: they share no
code with them. What several heads have in common stands here.
"""
