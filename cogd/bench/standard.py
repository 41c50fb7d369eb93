"""The two apps that `cogd bench --demo` measures: the published networks, an event for every frame.

They stay as they are when the packaged models change, so that the figures of the log can be compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cogd.bundle.trust import TrustStore
from cogd.runtime.catalogue import AppsCatalogue

if TYPE_CHECKING:
    from typing import Final

APPS: Final = Path(__file__).with_name("apps")
PUBLIC_KEY: Final = APPS / "demo.pub"


def standard_catalogue() -> AppsCatalogue:
    """Both of them, as a catalogue that trusts their key alone."""
    return AppsCatalogue(APPS, lambda: TrustStore.load(files=[PUBLIC_KEY]), archives=sorted(APPS.glob("*.tar")))
