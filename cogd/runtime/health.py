"""The daemon's own health: a real forward pass of every app, and what arrives."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import cogd
from cogd.errors import CogdError, ModelError, NoAppError
from cogd.events import Emitter, HealthFailed, HealthLive, HealthOk, LiveNode, LiveSource, encode
from cogd.runtime.app import check_reproduced
from cogd.runtime.runner import INFERENCE_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cogd.clock import Clock
    from cogd.events import Event
    from cogd.runtime.app import Reproduced
    from cogd.runtime.engine import Engine
    from cogd.runtime.intake import SourceIntake
    from cogd.runtime.nodes import NodeInput
    from cogd.runtime.runner import Runner

_MAX_NODES = 256
"""Nodes that are told of; an answer must not grow with what strangers send."""


async def live_health(
    engine: Engine,
    intakes: Sequence[SourceIntake],
    clock: Clock,
    app_id: str | None,
) -> tuple[bool, bytes]:
    """Let the apps reproduce their golden pairs, each on its own thread, between two batches.

    Args:
        engine: whose apps and nodes they are.
        intakes: of the sources.
        clock: for the ages of frames.
        app_id: the one app to prove; None: every one.

    Returns:
        Whether every app did and events are made of some node's frames, and the event lines that say so.
    """
    runners = [place.active for place in engine.places if app_id in {None, place.id}]
    proofs = [_prove(runner, runner.prove()) for runner in runners]  # begun now: a reload may close them soon
    results: list[HealthOk | HealthFailed] = [*await asyncio.gather(*proofs)]
    if not runners:
        results.append(_failed(app_id, NoAppError("no app runs" if app_id is None else f"no app {app_id} runs")))
    nodes = engine.nodes.inputs(engine.places)
    heard = any(node.believed and (node.full if app_id is None else app_id in node.full) for node in nodes.values())
    healthy = heard and all(isinstance(result, HealthOk) for result in results)
    live = HealthLive(
        cogd=cogd.__version__,
        pid=os.getpid(),
        ticks=engine.ticks,
        healthy=healthy,
        reasons=_reasons(intakes, nodes, heard=heard),
        sources={intake.name: LiveSource(state=intake.state, reason=intake.reason) for intake in intakes},
        nodes={
            name: LiveNode(
                link=node.link.value,
                age_s=None if node.age_s is None else round(node.age_s, 3),
                full=node.full,
                filling=node.filling,
            )
            for name, node in list(nodes.items())[:_MAX_NODES]
        },
    )
    events: list[Event] = []
    emitter, now_s = Emitter(clock, events.append), clock.unix_s()
    for fields in (*results, live):
        emitter.emit(fields, ts=now_s)
    return healthy, b"".join(map(encode, events))


async def _prove(runner: Runner, proof: asyncio.Future[Reproduced]) -> HealthOk | HealthFailed:
    app, was_busy = runner.app, runner.worker.unfinished > 0
    await asyncio.wait({proof}, timeout=INFERENCE_LIMIT_S)
    if not proof.done():
        doing = "its worker is busy with a batch" if was_busy else "the model did not come back"
        late = f"{app.id}: no answer within {INFERENCE_LIMIT_S:g} s: {doing}"
        return _failed(app.id, ModelError(late, hint="restart the daemon"))
    try:
        reproduced: Reproduced = proof.result()
        check_reproduced(app.id, app.backend, reproduced.error, app.golden_tolerance)
    except CogdError as error:
        return _failed(app.id, error)
    except Exception as error:  # noqa: BLE001  # the plugin border: a backend may fail in any way
        return _failed(app.id, ModelError(f"{app.id}: {type(error).__name__}: {error}"))
    return HealthOk(
        app=app.id,
        version=app.bundle.manifest.version,
        digest=app.bundle.digest,
        backend=app.backend,
        golden_error=reproduced.error,
        golden_tolerance=app.golden_tolerance,
        golden_ms=round(reproduced.took_ms, 3),
        way="live",
        fallback_reason=None,
    )


def _reasons(intakes: Sequence[SourceIntake], nodes: dict[str, NodeInput], *, heard: bool) -> list[str]:
    """Why frames do not arrive, or are not inferred from: sources first, then nodes, then windows."""
    reasons: list[str] = []
    for intake in intakes:
        if intake.state is None:
            reasons.append(f"source {intake.name}: no frame yet")
        elif intake.state != "up":
            reasons.append(f"source {intake.name} is {intake.state}" + (f": {intake.reason}" if intake.reason else ""))
    for name, node in list(nodes.items())[:_MAX_NODES]:
        if not node.believed:
            why = " and not believed" if node.link.value == "simulated" else ""
            age = f", last frame {node.age_s:.1f} s ago" if node.age_s is not None else ""
            reasons.append(f"node {name} is {node.link.value}{why}{age}")
        elif node.filling:
            lost = ", ".join(f"{count} {reason}" for reason, count in sorted(node.dropped.items()))
            without = f"; of its {node.frames} frames these reached no window: {lost}" if lost else ""
            reasons.append(f"node {name}: windows are filling for {', '.join(node.filling)}{without}")
    if not heard and not reasons:
        reasons.append("no node was heard yet")
    return reasons


def _failed(app_id: str | None, error: CogdError) -> HealthFailed:
    return HealthFailed(
        app=app_id, code=error.code, message=str(error), hint=error.hint, way="live", fallback_reason=None
    )
