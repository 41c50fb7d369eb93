"""The bundles that `--demo` runs, and the key that is trusted there and nowhere else.

`packaging/make-demo` trained and signed them; the private key was thrown away.
"""

from pathlib import Path

from cogd.defaults import DEMO_APPS, DEMO_KEY

APPS = Path(DEMO_APPS)
PUBLIC_KEY = Path(DEMO_KEY)
SOURCES = ("sim:?nodes=2&persons=1&seed=7",)


def archives() -> list[Path]:
    """The bundles."""
    return sorted(APPS.glob("*.tar"))
