"""The benchmark: what is measured, how it is told, kept and compared. docs/bench.md defines every figure.

`sender.py` is a process of its own and must start fast: nothing is imported here.
"""
