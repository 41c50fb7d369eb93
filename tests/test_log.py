import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from cogd import log


@pytest.fixture
def logged(monkeypatch):
    """Configures logging of a level; gives a function that reads what was logged."""
    buffer = io.BytesIO()
    monkeypatch.setattr(log, "sys", SimpleNamespace(stderr=SimpleNamespace(buffer=buffer)))
    before = structlog.get_config()

    def at(level: str):
        log.configure(level)
        return lambda: [json.loads(line) for line in buffer.getvalue().splitlines()]

    yield at
    structlog.configure(**before)


def test_a_line_has_the_shape_of_an_event(logged):
    read = logged("info")
    structlog.get_logger().warning("not a setting", variable="COGD_X", count=3)
    (line,) = read()
    assert list(line) == ["ts", "level", "event", "fields"]
    assert line["ts"] > 1.6e9
    assert (line["level"], line["event"]) == ("warn", "not a setting")
    assert line["fields"] == {"variable": "COGD_X", "count": 3}


@pytest.mark.parametrize(
    ("level", "passed"),
    [
        ("debug", ["debug", "info", "warn", "error", "error"]),
        ("info", ["info", "warn", "error", "error"]),
        ("warn", ["warn", "error", "error"]),
        ("error", ["error", "error"]),
    ],
)
def test_levels_below_the_one_asked_for_are_left_out(logged, level, passed):
    read = logged(level)
    logger = structlog.get_logger()
    for method in ("debug", "info", "warning", "error", "critical"):
        getattr(logger, method)("x")
    assert [line["level"] for line in read()] == passed


def test_an_exception_is_logged_with_its_traceback(logged):
    read = logged("info")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        structlog.get_logger().exception("source failed", source="a")
    (line,) = read()
    assert line["level"] == "error"
    assert line["fields"]["source"] == "a"
    assert "test_log.py" in line["fields"]["exception"]
    assert "ZeroDivisionError: division by zero" in line["fields"]["exception"]
    assert "exc_info" not in line["fields"]


def test_values_that_json_does_not_know_are_written_as_text(logged):
    read = logged("info")
    structlog.get_logger().info("x", path=Path("/a"), error=ValueError("why"), text="two\nlines")
    assert read()[0]["fields"] == {"path": "/a", "error": "why", "text": "two\nlines"}


def test_a_logger_that_was_made_before_follows_the_configuration(logged):
    logger = structlog.get_logger()
    read = logged("error")
    logger.info("x")
    logger.error("y")
    assert [line["event"] for line in read()] == ["y"]


def test_a_closed_stderr_stops_nobody(logged, monkeypatch):
    logged("info")
    closed = io.BytesIO()
    closed.close()
    monkeypatch.setattr(log, "sys", SimpleNamespace(stderr=SimpleNamespace(buffer=closed)))
    structlog.get_logger().error("nobody hears this")
