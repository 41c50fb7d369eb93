import pytest

from cogd.bench.figures import Figure, Idle, Latency, Live, Overload, Result, Sustained, Tight
from cogd.bench.standard import standard_catalogue
from cogd.cli.common import load_all
from cogd.machine import Machine
from cogd.settings import Settings


@pytest.fixture(scope="session")
def apps():
    loaded, rejected = load_all(standard_catalogue())
    assert not rejected
    return loaded


@pytest.fixture(scope="session")
def settings():
    return Settings()


MACHINE = Machine(system="Linux", processor="A processor", cores=2, python="3.11.7", versions={"cogd": "0.1.0"})


def latency(p50=100.0):
    return Latency(p50=p50, p90=p50 * 1.1, p99=p50 * 1.5, p99_9=p50 * 2, max=p50 * 3)


def live(nodes=1, cpu_us=500.0, missed=0.0):
    return Live(
        nodes=nodes,
        rate_hz=25.1,
        seconds=10,
        apps=["demo-count", "demo-pose"],
        expected=250 * nodes,
        events=250 * nodes,
        missed=missed,
        event_us=latency(1000.0 + nodes),
        cpu=nodes * 25 * cpu_us * 1e-6,
        cpu_us_per_frame=cpu_us,
        waited=0.01,
        rss_mib=80.0,
        missed_ticks=0,
        lost={},
        offered_per_s=25.1 * nodes,
    )


def result(p50_ratio=1.5, noise=0.02, date="2027-01-01T00:00:00+00:00", **more) -> Result:
    """A result in which every bar is met, unless the arguments say otherwise."""
    tight = Tight(
        app="demo-pose 0.2.0",
        backend="ort",
        frames=100,
        event_us=latency(p50_ratio * 30),
        bare_us=latency(30.0),
        p50_ratio=p50_ratio,
        p99_ratio=2.0,
        events_per_s=20000.0,
        stages_us={"decode": 2.0, "inference": 25.0, "engine": 10.0},
    )
    given = {
        "date": date,
        "commit": "abc",
        "machine": MACHINE,
        "tight": [tight],
        "paced": live(),
        "nodes": [live(1, 500.0), live(3, 300.0), live(300, 60.0)],
        "many": live(300, 60.0),
        "sustained": Sustained(
            apps=["demo-pose"],
            cores=1,
            frames_per_s=30000.0,
            failed_frames_per_s=31000.0,
            raw_per_s=45000.0,
            ratio=0.667,
            tries=[(30000.0, 0.0), (31000.0, 0.5)],
        ),
        "overload": Overload(
            normal_per_s=1000.0,
            offered_per_s=90000.0,
            seconds=2.0,
            shed={"overload": 100},
            uncounted=0.0,
            kept=0.3,
            newest_kept=1.0,
            slowest_ms=340.0,
            max_wait_ms=300,
            recovered_s=0.5,
            missed_after=0.0,
        ),
        "idle": Idle(
            command="cogd run --demo",
            seconds=1800.0,
            first_event_s=0.5,
            cpu=0.03,
            rss_mib=88.0,
            settled_s=60.0,
            growth_mib=0.1,
            events=90000,
        ),
        "compared": {"tight.demo-pose.p50_ratio": Figure(value=p50_ratio, noise=noise)},
        "beside": {
            "cold": {"health_ratio": 6.0, "live_ratio": 2.0, "health_ms": 60.0, "live_ms": 20.0, "base_ms": 10.0},
            "export": {"ratio": 0.6},
            "training": {"device": "cpu", "pose_s": 20.0, "count_s": 30.0},
        },
    }
    return Result(**(given | more))
