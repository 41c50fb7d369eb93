"""Constants of CSI inputs. Imports nothing, so that `cogd health` can check a manifest without NumPy."""

from __future__ import annotations

SUBCARRIERS = 56
"""Values that each tone rule selects from a frame: the occupied subcarriers of a 20 MHz HT channel (IEEE 802.11-2020,
table 19-6)."""

MISLABELLED_LAYOUT = "time_major_mislabelled_56x20"
MISLABELLED_FRAMES = 20
"""The input layout of the published cogs, and the only window length that it exists for."""
