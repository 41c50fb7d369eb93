"""The trainer's half of each head, one folder a head, behind the registry of `registry.py`.

`base.py` is the contract of the entry-point group `cogd.trainers`; `learning.py` is the part of it that needs torch.
docs/training.md says how to add a head.
"""
