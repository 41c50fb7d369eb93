"""Typed errors: each has a code for machines, an exit status for shells and a hint for people.

`cogd` prints `cogd: <code>: <message>` and, on the next line, the hint. Nothing else in the package decides
exit statuses.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `cogd health` does without `typing`
if TYPE_CHECKING:
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
        super().__init__(visible(message))
        if hint is not None:
            self.hint = hint


def visible(text: str) -> str:
    """Text with escapes in the place of what can't be seen.

    Messages name what others wrote - keys, file names, URLs. A terminal must not obey it, nor a log take it for a
    line, nor a reader be misled.
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class ConfigError(CogdError):
    """A setting or an argument has no usable value.

    Its hint is always given: what helps the daemon's user, `cogd config show` for one, the trainer's has not.
    """

    code = "config"
    exit_status = 2

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)


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
    """A sink can't work, or events were lost because it failed.

    Attributes:
        reader_gone: whoever read the events has closed the connection on purpose; the daemon then ends with 0 if no
            other sink is left.
    """

    code = "sink"
    exit_status = 5
    hint = "is the disk full, or was standard output closed?"

    def __init__(self, message: str, *, hint: str | None = None, reader_gone: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.reader_gone = reader_gone


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
    """The bundle needs a newer cogd."""

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
    hint = "install one with `cogd install bundle.tar`, or try `--demo`"


class RevokedKeyError(BundleError):
    """Keys that were revoked or replaced made the signatures that would have counted."""

    code = "revoked-key"
    exit_status = 22
    hint = "ask the publisher for a bundle that is signed with its present key"


class PinnedKeyError(BundleError):
    """The bundle is signed by a trusted key, but not by the one that the app was first installed from."""

    code = "pinned-key"
    exit_status = 23
    hint = "if the app has changed hands: `cogd remove --forget ID`, then install again"


class ThresholdError(BundleError):
    """Fewer trusted keys signed the bundle than this machine asks for."""

    code = "threshold"
    exit_status = 24
    hint = "ask the publishers for a bundle with more signatures; `cogd trust list` shows how many are needed"


class ExpiredError(BundleError):
    """The bundle may not be installed any more, or nobody can tell because the clock is wrong."""

    code = "expired"
    exit_status = 25
    hint = "ask the publisher for a newer bundle, and see that the clock is right: `date`"


class DowngradeError(BundleError):
    """The bundle is older than what was installed before."""

    code = "downgrade"
    exit_status = 26
    hint = "to go back on purpose: `cogd rollback ID`, or install with --allow-downgrade"


class SameVersionError(BundleError):
    """The bundle bears the version of another bundle that was installed before."""

    code = "same-version"
    exit_status = 27
    hint = "one version is one bundle: ask the publisher which is right and for a new version number"


class ArchitectureError(BundleError):
    """No variant of the bundle is made for this device."""

    code = "wrong-architecture"
    exit_status = 28
    hint = "ask the publisher for a bundle for this device"


class FeatureError(BundleError):
    """The bundle needs a feature that this cogd does not know."""

    code = "unknown-feature"
    exit_status = 29
    hint = "upgrade cogd, or ask the publisher for a bundle without it"


class NoSpaceError(CogdError):
    """The disk, or the quota on it, is full. What was begun has been taken away again."""

    code = "no-space"
    exit_status = 31
    hint = "free some space and try again; nothing was changed"


class LockedError(CogdError):
    """Another process is changing the apps directory."""

    code = "locked"
    exit_status = 32
    hint = "wait for it to end, or give it longer with --wait SECONDS"


class PermissionDeniedError(CogdError):
    """This user may not do that."""

    code = "no-permission"
    exit_status = 33
    hint = "run the command as root (sudo), or as the owner of the folder"


class StorageError(CogdError):
    """A disk does not do what it should, or holds what nobody here has put there."""

    code = "storage"
    exit_status = 34
    hint = "look at the system's log (dmesg) and at the folder that is named"


class RolledBackError(CogdError):
    """The running daemon tried the new version and went back to the one before."""

    code = "rolled-back"
    exit_status = 35
    hint = "`cogd list` shows what is installed now; tell the publisher the reason"


class PushError(CogdError):
    """The other machine can't be reached, or has no `cogd`."""

    code = "push"
    exit_status = 36
    hint = "try `ssh USER@HOST cogd version`"


class NothingToRollBackError(CogdError):
    """No earlier version of the app is kept."""

    code = "no-previous"
    exit_status = 37
    hint = "install the version that you want with --allow-downgrade"


class ControlError(CogdError):
    """A running daemon does not answer on its control socket, or refuses.

    Attributes:
        refusal: the code of the error that the daemon refused with; empty where it did not.
        said: that error's message.
    """

    code = "control"
    exit_status = 38
    hint = "`cogd list` shows what is installed; to have the daemon run it, restart the daemon: systemctl restart cogd"
    refusal = ""
    said = ""


class CalibrationError(CogdError):
    """The quiet room could not be measured; nothing was stored."""

    code = "calibration"
    exit_status = 43
    hint = "leave the room, see that nothing moves, and try again"


class TrainError(CogdError):
    """Training data, a run directory or a checkpoint can't be used."""

    code = "train"
    exit_status = 30


class RegressionError(CogdError):
    """A benchmark is slower than the earlier run, beyond the noise of both."""

    code = "regression"
    exit_status = 1
    hint = "measure once more on a quiet machine; then look at what changed since"


class ResultsError(CogdError):
    """A log of benchmark results can't be used."""

    code = "bad-results"
    exit_status = 39
    hint = "lines are only added to it, by `cogd bench --append`: take back what changed it otherwise"


class BenchError(CogdError):
    """A benchmark could not measure."""

    code = "bench"
    exit_status = 40
    hint = "is the machine too busy, or UDP on 127.0.0.1 blocked?"


class ProofError(CogdError):
    """Training gives something else than it must."""

    code = "proof"
    exit_status = 41
    hint = "docs/training.md says what the proof compares"


class UnknownPlatformError(CogdError):
    """Nothing can be proven here: nobody said what training gives on such a platform."""

    code = "unknown-platform"
    exit_status = 42
    hint = "cogd-train proof --generate"
