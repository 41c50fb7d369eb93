"""The count head."""


def __getattr__(name: str) -> object:
    """Transitional: installations whose entry point is `cogd.heads.count:CountHead`."""
    if name != "CountHead":
        raise AttributeError(name)
    from cogd.heads.count.head import CountHead  # noqa: PLC0415

    return CountHead
