"""The plugin border of one app: whatever its backend or head raises becomes the typed rejection of that app."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from cogd.errors import CogdError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_HINT: Final = "the model needs more memory than this device can give it: ask the publisher for a smaller one"

_OUT_OF_MEMORY: Final = ("bad_alloc", "bad allocation", "Failed to allocate memory")
"""In messages of runtimes that are written in C++ and do not raise `MemoryError` for it."""

_MAX_MESSAGE: Final = 500
"""Characters of a plugin's message that are kept: some runtimes quote the whole model."""


@contextlib.contextmanager
def plugin_border(app_id: str, part: str) -> Iterator[None]:
    """Turn every exception of a plugin into the rejection of one app.

    Args:
        app_id: the app.
        part: what is run, for the message: "the backend ort".

    Raises:
        ModelError: a plugin raised; its own `CogdError` passes as it is.
    """
    try:
        yield
    except CogdError:
        raise
    except (Exception, SystemExit) as error:  # the plugin border: a third party's code may fail in any way
        text = str(error)[:_MAX_MESSAGE]
        if isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY):
            raise ModelError(
                f"{app_id}: {part} ran out of memory: {text or 'MemoryError'}", hint=MEMORY_HINT
            ) from error
        hint = "report it to the publisher of the app"
        raise ModelError(f"{app_id}: {part} failed: {type(error).__name__}: {text}", hint=hint) from error
