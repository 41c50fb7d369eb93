"""The pose head."""


def __getattr__(name: str) -> object:
    """Transitional: installations whose entry point is `cogd.heads.pose:PoseHead`."""
    if name != "PoseHead":
        raise AttributeError(name)
    from cogd.heads.pose.head import PoseHead  # noqa: PLC0415

    return PoseHead
