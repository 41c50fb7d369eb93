"""How ONNX Runtime is set up: the same for the daemon's backend `ort` and for `cogd health`, which proves what runs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

THREADS = 1
LOG_ERRORS_ONLY = 3
SESSION_CONFIG: Mapping[str, str] = {
    "session.load_model_format": "ONNX",  # what was checked, not ONNX Runtime's own format
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
}
