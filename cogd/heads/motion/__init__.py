"""The motion head."""


def __getattr__(name: str) -> object:
    """Transitional: installations whose entry point is `cogd.heads.motion:MotionHead`."""
    if name != "MotionHead":
        raise AttributeError(name)
    from cogd.heads.motion.head import MotionHead  # noqa: PLC0415

    return MotionHead
