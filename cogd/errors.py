"""Typed errors: each has a code for machines, an exit status for shells and a hint for people.

`cogd` prints `cogd: <code>: <message>` and, on the next line, the hint. Nothing else in the package decides
exit statuses.
"""

from __future__ import annotations

from typing import ClassVar


class CogdError(Exception):
    """Base of every error that cogd raises on purpose.

    Attributes:
        code: stable kebab-case name, for logs and tests.
        exit_status: what a command that ends with this error returns to the shell.
        hint: one line that says what to do.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class ConfigError(CogdError):
    """A setting or an argument has no usable value."""

    code = "config"
    exit_status = 2
    hint = "see `cogd config show` for every key, its value and where it came from"


class WireError(CogdError):
    """Bytes or JSON that are not what they claim to be. The only error that `cogd.wire` raises."""

    code = "wire"
    exit_status = 3
    hint = "is the sender an ADR-018 node, or the file a recording of one?"


class ToneError(CogdError):
    """A frame whose bins fit no known layout, so its tones can't be told apart."""

    code = "tones"
    exit_status = 3
    hint = "docs/input.md lists the layouts that are known"


class SourceError(CogdError):
    """A source can't be opened."""

    code = "source"
    exit_status = 4
    hint = "check the source's URL"


class SinkError(CogdError):
    """Nothing takes events any more, and not because a reader has gone."""

    code = "sink"
    exit_status = 5
    hint = "is the disk full, or was standard output closed?"


class BundleError(CogdError):
    """Base of everything that makes a bundle unacceptable."""

    code = "bundle"
    exit_status = 10


class ArchiveError(BundleError):
    """The file is not a canonical bundle archive."""

    code = "bad-archive"
    exit_status = 11
    hint = "copy the bundle again, or rebuild it with `cogd-train bundle`"


class ManifestError(BundleError):
    """The manifest does not follow its schema."""

    code = "bad-manifest"
    exit_status = 12
    hint = "rebuild the bundle with `cogd-train bundle`"


class SignatureError(BundleError):
    """The envelope is malformed or a signature does not fit the manifest's bytes."""

    code = "bad-signature"
    exit_status = 13
    hint = "the bundle was changed after it was signed: get it again from its publisher"


class UnknownKeyError(BundleError):
    """No trusted key made any of the signatures."""

    code = "unknown-key"
    exit_status = 14
    hint = "if you trust the publisher, add its public key to the trust directory (or pass --trust FILE)"


class DigestError(BundleError):
    """A file is missing, too many, or not the one that was signed."""

    code = "bad-digest"
    exit_status = 15
    hint = "get the bundle again from its publisher"


class RequirementError(BundleError):
    """The bundle needs a newer cogd, or a feature that this one lacks."""

    code = "requirement"
    exit_status = 16
    hint = "upgrade cogd, or ask the publisher for a bundle for this version"


class GoldenError(BundleError):
    """The backend does not reproduce the bundle's golden pair."""

    code = "golden-mismatch"
    exit_status = 17
    hint = "this backend computes another function than the publisher's: try another backend or report it"


class ModelError(BundleError):
    """A model file can't be loaded, or is not self-contained."""

    code = "bad-model"
    exit_status = 18
    hint = "export the model again with its weights inside the file"


class KeyFileError(CogdError):
    """A key file can't be used."""

    code = "bad-key"
    exit_status = 19
    hint = "make a key pair with `cogd-train keygen`"


class PluginError(CogdError):
    """A plugin is not installed or can't be imported."""

    code = "plugin"
    exit_status = 20
    hint = "install the package that provides it"


class NoAppError(CogdError):
    """There is no app to run, or not the one that was asked for."""

    code = "no-app"
    exit_status = 21
    hint = "put a signed bundle into the apps directory, or try `--demo`"


class HealthError(CogdError):
    """The health probe ran and found a fault."""

    code = "unhealthy"
    exit_status = 1


class TrainError(CogdError):
    """Training data, a run directory or a checkpoint can't be used."""

    code = "train"
    exit_status = 30
