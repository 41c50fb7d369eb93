"""How the quick way gives up."""

from __future__ import annotations


class NotQuick(Exception):  # noqa: N818  # no error: it says who is to judge
    """The quick way can't tell; the message says why, for `fallback_reason`."""


class Unheard(NotQuick):
    """The daemon was asked, and gave no answer that can be taken as it is."""
