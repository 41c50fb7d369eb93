"""`cogd health`, cold: the quick way and the question to the running daemon.

The quick way proves what the ordinary one (`cogd.cli.health`) proves, signature, digests, model and golden pair, with
the C library of the same wheel. It does without NumPy, pydantic, msgspec and ONNX Runtime's Python layer, whose imports
take ten times as long as the proof; that they can be imported is proven by the ordinary way, and by the daemon.

It can say one thing only: that an app is healthy. Whatever it can't do, does not know or finds wrong is judged by the
ordinary way, so that there is one implementation of each rule and one wording of each error. The event says which way
it was and why.
"""

from __future__ import annotations

from cogd.probe.not_quick import NotQuick
from cogd.probe.options import read_words

TYPE_CHECKING = False  # `typing` itself takes a tenth of what `cogd health --live` may take
if TYPE_CHECKING:
    from collections.abc import Sequence


def attempt(words: Sequence[str]) -> int | NotQuick:
    """Answer `cogd health WORDS` quickly.

    Returns:
        The exit status, or why the ordinary way must answer; then nothing was printed.

    Raises:
        OSError: standard output can't be written.
    """
    try:
        options = read_words(words)
        if options.live:
            from cogd.probe import live

            return live.prove(options)
        from cogd.probe.ort import Starting

        starting = Starting()  # before the imports of the next line, which take as long
        try:
            from cogd.probe.quick import prove

            return prove(options, starting)
        finally:
            starting.join()  # the interpreter must not end while the library is being loaded
    except NotQuick as reason:
        return reason
