"""One real recording, three ways in: replayed, as UDP datagrams, over HTTP. The events must be the same."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import pytest
import safetensors.numpy
from aiohttp import web

from cogd.bundle import keys
from cogd.bundle.archive import read_archive
from cogd.bundle.trust import TrustStore
from cogd.bundle.verify import verify_bundle
from cogd.clock import SystemClock
from cogd.csi.link import LinkLimits
from cogd.events import Emitter
from cogd.runtime.app import load_app
from cogd.runtime.engine import Engine
from cogd.runtime.intake import SourceIntake
from cogd.sources.base import SourceOptions
from cogd.sources.http import HttpSource
from cogd.sources.replay import ReplaySource
from cogd.sources.udp import UdpSource

from .recording import NAME, RealFrame, read_frames, snapshots

pytestmark = [pytest.mark.train, pytest.mark.slow]

WINDOW = 20
PATIENCE_S = 120


@dataclass
class Rig:
    """An engine with one source; the tick beats whenever something waits."""

    engine: Engine
    intake: SourceIntake
    events: list

    @classmethod
    def of(cls, apps, source_name) -> Rig:
        clock, events = SystemClock(), []
        emitter = Emitter(clock, events.append)
        engine = Engine(
            apps, LinkLimits(1e6, 1e6, 10), clock, emitter, believe_simulated=lambda _: False, max_pending=65536
        )
        return cls(engine, SourceIntake(source_name, engine, emitter, clock.monotonic_s()), events)

    async def until_done(self, source, done) -> None:
        """Run the source and the tick until the condition holds."""
        running = asyncio.create_task(source.run(self.intake))
        async with asyncio.timeout(PATIENCE_S):
            while not (running.done() or done()):
                await asyncio.wait({running}, timeout=0.01)
                await self.engine.tick()
        if running.done():
            running.result()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        while self.engine.waiting:  # a tick is limited in time; a slow machine needs several
            await self.engine.tick()

    def outputs(self) -> dict[tuple[str, str], list]:
        """Inferred events by node id and app, in order: (time, values)."""
        by_node = defaultdict(list)
        for event in self.events:
            if event.event == "pose.frame":
                values = np.asarray(event.fields.persons[0].keypoints).ravel()
            elif event.event == "count":
                values = np.asarray(event.fields.probs)
            else:
                continue
            by_node[event.fields.node.rpartition("/")[2], event.fields.app].append((event.fields.time, values))
        return by_node

    def frames(self) -> int:
        return sum(node.frames for node in self.engine.nodes.totals().values())


@pytest.fixture(scope="module")
def imported(data, tmp_path_factory):
    """Both published weight files as loaded apps, with their weights and normalisers for the oracle."""
    from cogd.train.import_cog import import_cog
    from cogd.train.package import Naming, package

    key = keys.generate()
    apps, oracle = [], {}
    for folder, name in (("pose-estimation", "pose_v1"), ("person-count", "count_v1")):
        weights = data / "ruview" / folder / f"{name}.safetensors"
        out = tmp_path_factory.mktemp(name)
        cog, _ = import_cog(weights, data / NAME, out)
        archive = package(out / "model.onnx", Naming(cog.app_id, cog.version), [key])
        bundle = verify_bundle(read_archive(archive), TrustStore.of(key.public))
        apps.append(load_app(bundle))
        normaliser = out / "normaliser.safetensors"  # in the bundle it is inside the model
        oracle[cog.app_id] = (
            safetensors.numpy.load_file(weights),
            safetensors.numpy.load_file(normaliser) if normaliser.exists() else None,
        )
    return apps, oracle


@pytest.fixture(scope="module")
def frames(data) -> list[RealFrame]:
    return read_frames(data)


async def replayed(apps, data) -> Rig:
    rig = Rig.of(apps, "replay")
    url = urlsplit(f"replay:{data / NAME}?speed=max")
    await rig.until_done(ReplaySource("replay", url, SourceOptions()), lambda: False)
    return rig


async def over_udp(apps, frames) -> Rig:
    """Real datagrams, a few at a time so that none is lost; each on its recorded time."""
    rig = Rig.of(apps, "udp")
    clock = RecordedClock()
    source = UdpSource("udp", urlsplit("udp://127.0.0.1:0"), SourceOptions(clock=clock))
    sequences = defaultdict(int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cogd.sources.udp._SO_TIMESTAMPNS", -1)  # the kernel's clock is not the recording's
        sending = asyncio.create_task(rig.until_done(source, lambda: rig.frames() == len(frames)))
        while source.address is None:  # noqa: ASYNC110  # the daemon has no event for this, and needs none
            await asyncio.sleep(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for count, frame in enumerate(frames, 1):
            clock.time_s = frame.time_s
            sequences[frame.node_id] += 1
            sender.sendto(frame.datagram(sequences[frame.node_id]), source.address[:2])
            while rig.frames() < count and not sending.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
    await sending
    return rig


class RecordedClock(SystemClock):
    """Unix time is that of the frame on its way."""

    time_s = 0.0

    def unix_s(self) -> float:
        return self.time_s


async def over_http(apps, frames) -> Rig:
    """A server that answers each poll with the next snapshot."""
    rig = Rig.of(apps, "http")
    bodies = snapshots(frames)
    answered = 0

    async def latest(_request: web.Request) -> web.Response:
        nonlocal answered
        answered = min(answered + 1, len(bodies))
        return web.Response(body=bodies[answered - 1], content_type="application/json")

    server = web.Application()
    server.router.add_get("/api/v1/sensing/latest", latest)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    source = HttpSource("http", urlsplit(f"http://127.0.0.1:{port}"), SourceOptions(poll_s=0.0005))
    await rig.until_done(source, lambda: rig.frames() == len(frames))
    await runner.cleanup()
    return rig


async def test_the_same_recording_gives_the_same_events_three_ways(imported, data, frames):
    apps, _ = imported
    rigs = [await replayed(apps, data), await over_udp(apps, frames), await over_http(apps, frames)]
    for rig in rigs:
        assert rig.frames() == len(frames) == 5309
    reference = rigs[0].outputs()
    assert {node for node, _ in reference} == {"1", "2"}
    for rig in rigs[1:]:
        others = rig.outputs()
        assert others.keys() == reference.keys()
        for key, expected in reference.items():
            assert len(others[key]) == len(expected) > 1900
            for (time_s, values), (expected_s, expected_values) in zip(others[key], expected, strict=True):
                assert abs(time_s - expected_s) < 1e-3  # the server's times are in milliseconds
                np.testing.assert_allclose(values, expected_values, atol=2e-6)


async def test_every_emitted_output_is_a_numpy_forward_of_that_nodes_own_frames(imported, data, frames):
    apps, oracle = imported
    outputs = (await replayed(apps, data)).outputs()
    worst = 0.0
    for (node_id, app), events in outputs.items():
        mine = [frame for frame in frames if frame.node_id == int(node_id) and frame.bins == 64]
        place = {frame.time_s: index for index, frame in enumerate(mine)}
        flat = np.stack(
            [
                np.concatenate([frame.amplitude[:56] for frame in mine[place[time_s] - WINDOW + 1 : place[time_s] + 1]])
                for time_s, _ in events
            ]
        )
        weights, normaliser = oracle[app]
        csi = flat.reshape(-1, 56, 20)  # frame after frame, read as [56, 20]: what the published weights were given
        if normaliser is not None:
            csi = (csi - normaliser["mean"][:, None]) / normaliser["std"][:, None]
        expected = plain_forward(weights, csi)
        worst = max(worst, float(np.abs(expected - np.stack([values for _, values in events])).max()))
        # every frame from the 20th on moved the window once
        assert len(events) == len(mine) - place[events[0][0]]
    print(f"largest difference from the NumPy forward: {worst:.1e}")
    assert worst <= 1e-5


def plain_forward(weights, csi) -> np.ndarray:
    """The published networks as explicit sums over taps, in double precision; written for this test alone."""
    hidden = csi.astype(np.float64)
    for layer, dilation in (("c1", 1), ("c2", 2), ("c3", 4)):
        kernel, bias = weights[f"enc.{layer}.weight"].astype(np.float64), weights[f"enc.{layer}.bias"]
        result = np.zeros((len(hidden), len(bias), 20)) + bias[:, None]
        for t in range(20):
            for tap, source in enumerate((t - dilation, t, t + dilation)):
                if 0 <= source < 20:
                    result[:, :, t] += hidden[:, :, source] @ kernel[:, :, tap].T
        hidden = np.maximum(result, 0)
    pooled = hidden.mean(axis=2)
    name = "head" if "head.fc1.weight" in weights else "count_head"
    inner = np.maximum(pooled @ weights[f"{name}.fc1.weight"].T + weights[f"{name}.fc1.bias"], 0)
    logits = inner @ weights[f"{name}.fc2.weight"].T + weights[f"{name}.fc2.bias"]
    if name == "head":
        return 1 / (1 + np.exp(-logits))
    trained = np.exp(logits[:, :2] - logits[:, :2].max(axis=1, keepdims=True))  # classes 0 and 1 alone were trained
    return trained / trained.sum(axis=1, keepdims=True)
