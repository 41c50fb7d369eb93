"""What a training run is told: six sections of keys, each with its type, its bounds and its meaning in one place.

The descriptions below are the comments of the template (`cogd.train.configfile`). Nothing here loads torch.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

DeviceName = Literal["auto", "cpu", "cuda"]

_Count = Annotated[int, Meta(ge=0)]
_Positive = Annotated[int, Meta(ge=1)]
Weight = Annotated[float, Meta(ge=0, le=1e6)]
Share = Annotated[float, Meta(ge=0, lt=1)]
_Part = Annotated[float, Meta(gt=0, lt=1)] | Annotated[tuple[str, ...], Meta(min_length=1)]


class DataConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the windows come from."""

    spec: Annotated[
        str, Meta(description="what trains: `sim` (the rooms below), `paired:FILE`, or another data set by its spec")
    ] = "sim"
    held_out: Annotated[
        str, Meta(description="a data set, as in spec, that is only tested on; nothing: with sim the held-out rooms")
    ] = ""
    also: Annotated[
        tuple[str, ...], Meta(description="further data sets, as in spec, of which no window calibrates or tests")
    ] = ()
    also_stride: Annotated[
        _Count, Meta(description="columns from window to window of further data; 0: as data.stride")
    ] = 0
    licence: Annotated[str, Meta(min_length=1, description="licence of recorded data, for the bundle")] = "not stated"
    rooms: Annotated[int, Meta(ge=1, le=1000, description="simulated rooms to train on")] = 40
    held_out_rooms: Annotated[int, Meta(ge=0, le=1000, description="simulated rooms only to test on")] = 8
    minutes: Annotated[float, Meta(gt=0, le=1e5, description="length of each simulated scene")] = 2.0
    nodes: Annotated[int, Meta(ge=1, le=255, description="nodes in each simulated room")] = 2
    domain: Annotated[
        Literal["kit", "homes", "pictured"], Meta(description="what simulated rooms, people and radios are drawn from")
    ] = "kit"
    rates_hz: Annotated[
        tuple[Annotated[float, Meta(gt=0, le=1000)], Annotated[float, Meta(gt=0, le=1000)]],
        Meta(description="frames a second of simulated nodes: each room's lies between these two"),
    ] = (20.0, 20.0)
    processes: Annotated[_Count, Meta(description="that read or simulate at a time; 0: one for each core")] = 0
    frames: Annotated[int, Meta(ge=2, le=1024, description="columns of a window: frames, or cells")] = 20
    cell_s: Annotated[
        float, Meta(ge=0, le=1, description="seconds; a column is the median over a cell of this length; 0: a frame")
    ] = 0.0
    min_gap_s: Annotated[
        float, Meta(ge=0, le=60, description="seconds; frames closer together than this are one too many")
    ] = 0.02
    max_gap_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds; a window with a longer gap than this is not complete")
    ] = 0.25
    stride: Annotated[int, Meta(ge=1, description="frames from window to window")] = 20
    persons: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=7)], ...],
        Meta(min_length=1, description="persons in the simulated scenes, one scene each"),
    ] = (1,)


class SplitConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which windows train, which calibrate, which test."""

    kind: Annotated[
        Literal["time", "session", "room", "subject", "mmfi", "random"],
        Meta(
            description="what keeps the parts apart; mmfi: an official split of MM-Fi; random is leaky: neighbouring "
            "windows share what happens"
        ),
    ] = "time"
    test: Annotated[
        _Part,
        Meta(
            description="what tests: a share, or names of sessions, rooms or subjects such as ['bedroom'] or "
            "['simulated room 10003*']"
        ),
    ] = 0.2
    calibration: Annotated[
        _Part, Meta(description="what calibrates and chooses epochs, of the rest: a share, or names")
    ] = 0.1
    calibration_by: Annotated[
        Literal["", "session", "room", "subject"],
        Meta(description="groups of the calibration part, if others: with two rooms one tests, and sessions calibrate"),
    ] = ""
    seed: Annotated[_Count, Meta(description="of what is drawn by share")] = 0
    protocol: Annotated[int, Meta(ge=1, le=3, description="mmfi: actions; 1 daily, 2 rehabilitation, 3 all")] = 3
    setting: Annotated[
        Literal["random", "cross_subject", "cross_scene"],
        Meta(description="mmfi: what tests; other performances, subjects or scenes than those that train"),
    ] = "cross_subject"
    allow_leaky: Annotated[
        bool, Meta(description="take a leaky split all the same; every report of the run is then marked leaky")
    ] = False


class ModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which network, for which head."""

    head: Annotated[str, Meta(min_length=1, description="what is learnt: the command's own name")]
    net: Annotated[str, Meta(min_length=1, description="the name of one of the head's networks")]


class TrainConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Optimiser, schedule, augmentation. The optimiser is AdamW."""

    device: Annotated[DeviceName, Meta(description="auto: CUDA if there is one")] = "auto"
    precision: Annotated[
        Literal["fp32", "bf16"], Meta(description="of forward and backward; bf16 only where the hardware has it")
    ] = "fp32"
    seed: Annotated[int, Meta(ge=0, lt=900, description="of simulated data, weights, order and augmentation")] = 0
    epochs: Annotated[int, Meta(ge=1, le=1_000_000, description="passes over the training part")] = 400
    batch_size: Annotated[_Count, Meta(description="windows a step; 0: the whole training part at once")] = 0
    learning_rate: Annotated[float, Meta(gt=0, le=1, description="the highest of the schedule")] = 1e-3
    weight_decay: Annotated[float, Meta(ge=0, le=1, description="decoupled")] = 0.01
    schedule: Annotated[
        Literal["cosine", "steps", "constant"],
        Meta(
            description="of the learning rate, an epoch at a time: cosine with warm restarts, falling steps, constant"
        ),
    ] = "cosine"
    warmup_epochs: Annotated[_Count, Meta(description="in which the rate first rises in a line, whatever follows")] = 0
    restart_epochs: Annotated[_Positive, Meta(description="cosine: length of one cycle")] = 50
    milestones: Annotated[
        tuple[_Positive, ...], Meta(description="steps: epochs behind which the rate is multiplied by gamma")
    ] = ()
    gamma: Annotated[float, Meta(gt=0, lt=1, description="steps: what it is multiplied by")] = 0.1
    clip_norm: Annotated[float, Meta(ge=0, description="longest gradient, all weights together; 0: any")] = 0.0
    ema_decay: Annotated[
        Share, Meta(description="moving average of the weights, which is then what is scored and kept; 0: none")
    ] = 0.0
    keep: Annotated[
        Literal["last", "best"], Meta(description="weights kept: after the last epoch, or the best on calibration")
    ] = "last"
    patience: Annotated[
        _Count, Meta(description="stop after so many epochs without a better calibration score; 0: never")
    ] = 0
    folds: Annotated[
        int,
        Meta(
            ge=0,
            le=20,
            description="count: networks on so many folds of the rooms teach the confidence what counts right that was "
            "not trained on; 0: it learns from the network's own counts of its training part",
        ),
    ] = 0
    subcarrier_dropout: Annotated[Share, Meta(description="share of subcarriers set to zero, per window")] = 0.0
    dropout_epochs: Annotated[_Count, Meta(description="in how many of the last epochs that is done")] = 0
    noise_std: Annotated[float, Meta(ge=0, le=10, description="Gaussian noise on the normalised input")] = 0.0
    gain_range: Annotated[
        Share, Meta(description="the normalised input is multiplied by 1 minus to 1 plus this, per window")
    ] = 0.0
    mask_frames: Annotated[_Count, Meta(description="up to so many frames in a row set to zero, per window")] = 0
    roll_frames: Annotated[_Count, Meta(description="windows are rolled in time by up to so many frames")] = 0
    flips: Annotated[
        tuple[Literal["tones", "time", "change"], ...],
        Meta(description="turned round in every other window: the order of tones, that of frames, the sign of changes"),
    ] = ()
    mixup_alpha: Annotated[
        float, Meta(ge=0, le=10, description="windows and their losses are mixed in pairs, by Beta(alpha, alpha)")
    ] = 0.0


class LossConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all heads' losses have in common: terms with weights."""

    def weights(self) -> dict[str, float]:
        """The weight of each term."""
        raise NotImplementedError


class ClassLoss(LossConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys of losses over classes."""

    class_weights: Annotated[
        bool, Meta(description="classes weigh the same together, however many windows each has")
    ] = True
    label_smoothing: Annotated[Share, Meta(description="share of a label given to the trained classes alike")] = 0.0


class OutputConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the run goes, and what is written on the way."""

    folder: Annotated[str, Meta(description="the run directory; `--out` on the command line")] = ""
    log: Annotated[
        str, Meta(description="the log that the finished run adds a line to; nothing: training.jsonl beside the folder")
    ] = ""
    checkpoint_epochs: Annotated[_Positive, Meta(description="epochs between checkpoints")] = 10
    tensorboard: Annotated[
        bool, Meta(description="curves for TensorBoard in the run directory; needs the extra tensorboard")
    ] = False


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run. The loss's keys are the head's: each head has a subclass in its folder of `cogd.train.heads`."""

    data: DataConfig
    split: SplitConfig
    model: ModelConfig
    train: TrainConfig
    loss: LossConfig
    output: OutputConfig

    def digest(self) -> str:
        """SHA-256 of all keys and values but where the run and its log go: the same for the same run anywhere."""
        placeless = msgspec.structs.replace(self, output=msgspec.structs.replace(self.output, folder="", log=""))
        return hashlib.sha256(msgspec.json.encode(placeless, order="sorted")).hexdigest()
