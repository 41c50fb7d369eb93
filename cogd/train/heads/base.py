"""The contract of the entry-point group `cogd.trainers`: what the trainer must know of a head.

The entry point's name is the head's, the same as in the group `cogd.heads`; its value is a subclass of `TrainerHead`
that is made without arguments. Importing its module must be quick: `cogd-train --help` does it for every head. What
needs torch, scipy or matplotlib is named as `MODULE:NAME` and imported when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np

from cogd.train.heads.named import load_named

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric
    from cogd.heads.base import Head, Reading
    from cogd.train.config import Config
    from cogd.train.data.windows import Windows
    from cogd.train.heads.learning import Learning
    from cogd.train.metrics.confidence import Usual
    from cogd.train.metrics.figure import Sample
    from cogd.train.nets.base import Net
    from cogd.train.predictions import Answer, Predictions
    from cogd.train.published_cog import Cog
    from cogd.train.report.panel import Panel

    Rows = NDArray[np.int64]
    Outputs = Mapping[str, NDArray[np.float32]]
    Forward = Callable[[Mapping[str, NDArray[np.float32]], NDArray[np.float32]], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Bar:
    """What a figure must be: at least so much, at most so much, or at least so many times its baseline."""

    figure: str
    kind: Literal["least", "most", "times"]
    value: float

    def text(self, metric: Metric | None) -> str:
        """Return what the figure must be, in words."""
        if self.kind != "times":
            return f"{'>=' if self.kind == 'least' else '<='} {self.value:g}"
        of = "" if metric is None else f" = {self.value * metric.baseline_value:.4f}"
        return f">= {self.value:g} x the mean pose's{of}"

    def met(self, metric: Metric) -> bool:
        """Return whether a figure reaches it."""
        if self.kind == "most":
            return metric.value <= self.value
        return metric.value >= self.value * (metric.baseline_value if self.kind == "times" else 1)


@dataclass(frozen=True, eq=False)
class Baselines:
    """Trivial answers that figures are put beside.

    Attributes:
        constant: one answer for every window, in the head's own form; None where the figures need none.
        name: what answer that is.
        usual: one confidence for every window; None where the model has no confidence.
    """

    constant: Any
    name: str
    usual: Usual | None = None


class TrainerHead:
    """What the trainer knows of one head. Subclasses set the attributes and answer for the labels.

    Attributes:
        summary: what `cogd-train NAME` does, for `--help`.
        recipe: every key's default; its type says which keys the loss has.
        nets: `MODULE:NAME` of each network class (`cogd.train.nets.base.Net`), by the name that `model.net` takes.
        references: `MODULE:NAME` of a second implementation of each family of networks, in NumPy and double precision
            (golden pairs and parity are checked against it), by the name of a weight that only this family has.
        learning_class: `MODULE:NAME` of the class that implements `cogd.train.heads.learning.Learning`.
        scoring_class: `MODULE:NAME` of the subclass of `Scoring`.
        published_cog: `MODULE:NAME` of the published cog that `cogd-train import-cog` recognises, if there is one.
        reproducibility_runs: changes of the recipe for `cogd-train proof`, by what is added to the head's name; with
            " with everything" the run also uses every option of the trainer.
        transitions: what becomes of windows in which the motion label changes: `leave_out`, or `unknown` keeps them.
        same_radios: whether all scenes of a simulated room are received by the same devices.
        can_fold: whether `train.folds` may be used: the task has a confidence that learns from answers out of fold.
    """

    summary: ClassVar[str]
    recipe: ClassVar[Config]
    nets: ClassVar[Mapping[str, str]]
    references: ClassVar[Mapping[str, str]]
    learning_class: ClassVar[str]
    scoring_class: ClassVar[str]
    published_cog: ClassVar[str | None] = None
    reproducibility_runs: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    transitions: ClassVar[Literal["leave_out", "unknown"]] = "unknown"
    same_radios: ClassVar[bool] = False
    can_fold: ClassVar[bool] = False

    def truth(self, windows: Windows) -> NDArray[Any]:
        """Return the label of every window, `[n, ...]`."""
        raise NotImplementedError

    def usable_rows(self, windows: Windows) -> Rows:
        """Return the rows that have a label."""
        raise NotImplementedError

    def training_rows(self, windows: Windows, rows: Rows, config: Config) -> Rows:
        """Return those of the labelled rows that the network learns from; all of them, unless a subclass chooses."""
        del windows, config
        return rows

    training_rows_note: ClassVar[str] = ""
    """What `training_rows` chooses, for the name of a part of the figures; empty where it chooses all."""

    def net(self, name: str) -> type[Net] | None:
        """Return the network class of that name; None where the head has none of that name."""
        return cast("type[Net]", load_named(self.nets[name])) if name in self.nets else None

    def reference(self, weights: Collection[str]) -> Forward | None:
        """Return the second implementation of the network that has weights of these names; None where there is none."""
        found = next((target for weight, target in self.references.items() if weight in weights), None)
        return None if found is None else cast("Forward", load_named(found))

    @cached_property
    def learning(self) -> Learning:
        """The part that needs torch: task, calibration, the bundle's description."""
        return cast("Learning", load_named(self.learning_class)())

    @cached_property
    def scoring(self) -> Scoring:
        """The figures, gates and pictures of the head."""
        return cast("Scoring", load_named(self.scoring_class)())

    @cached_property
    def cog(self) -> Cog | None:
        """The published cog of this head."""
        return None if self.published_cog is None else cast("Cog", load_named(self.published_cog))


class Scoring:
    """The figures, gates and pictures of one head.

    Attributes:
        headline: the name of the first figure, which is also given for each room and session.
        accuracy: the name of the figure that says how often an answer is right; None where there is none.
        has_classes: whether answers are numbers of classes, so that there is a table of confusion.
        parts_title: what `parts` are figures of, in the report.
        bars: what the figures must reach; none: the head has no gates.
        condition: under which condition a gate's figure must be measured, to follow the figure's name.
    """

    headline: ClassVar[str]
    accuracy: ClassVar[str | None] = None
    has_classes: ClassVar[bool] = True
    parts_title: ClassVar[str] = "Classes"
    bars: ClassVar[Sequence[Bar]] = ()
    condition: ClassVar[str] = ""

    def answer(self, outputs: Outputs, readings: Sequence[Reading], labels: tuple[str, ...], head: Head) -> Answer:
        """Return what the daemon's head made of a model's outputs.

        Args:
            outputs: of the model, by name.
            readings: of the daemon's head, one for each row.
            labels: of the bundle.
            head: the daemon's head.
        """
        raise NotImplementedError

    def constant(self, truth: NDArray[Any], of: str, usual: Usual | None) -> Baselines:
        """Return the best constant answer to labels `[n, ...]`, which are those of `of`."""
        raise NotImplementedError

    def figures(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the figures of a part as a whole."""
        raise NotImplementedError

    def first(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the headline figure alone."""
        raise NotImplementedError

    def parts(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the figures of each joint or class alone."""
        del predictions, beside, sample
        return []

    def right(self, predictions: Predictions) -> NDArray[np.bool_]:
        """Return which answers are right, as the confidence is the probability of."""
        return np.asarray(predictions.predicted == predictions.truth)

    def objections(self, part: Predictions, rooms: Collection[str]) -> Iterator[str | None]:
        """Yield, for each further condition of the gates, why a part does not meet it, or None.

        Args:
            part: tested in rooms of which nothing trained.
            rooms: names of its rooms.
        """
        del part, rooms
        yield from ()

    def together(self, predictions: Predictions, windows: Windows, rows: Rows, answer: Answer) -> list[Predictions]:
        """Return what several nodes say together, as parts of their own; none unless a subclass combines nodes."""
        del predictions, windows, rows, answer
        return []

    def notes(self) -> list[str]:
        """Return what a reader of an evaluation must know about these figures."""
        return []

    def class_name(self, number: int, labels: Sequence[str]) -> str:
        """Return the name of a class."""
        return labels[number] if number < len(labels) else str(number)

    def panels(self, predictions: Predictions, grouped: Panel | None) -> tuple[list[Panel], list[Panel]]:
        """Return the report's pictures before and behind those of the confidence.

        Args:
            predictions: of one part.
            grouped: the picture of the headline for each room or session, if there is one; to be put where it suits.
        """
        from cogd.train.report.panel import confusion_panel

        return [confusion_panel(predictions, self.class_name)], [] if grouped is None else [grouped]
