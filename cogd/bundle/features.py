"""What `requires.features` may ask of this cogd. Apart from the manifest, so that `cogd health` needs no msgspec."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CELL_MEDIAN: Final = "cell-median"
"""Windows whose columns are medians over cells of time (`cogd.csi.cells`)."""

KNOWN_FEATURES: Final[frozenset[str]] = frozenset({CELL_MEDIAN})
"""An extension of the format that an older cogd would misread has a name here; bundles that use it list that name."""
