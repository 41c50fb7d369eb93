"""Where things are unless somebody says otherwise; apart from the settings, whose import takes too long for a probe."""

from __future__ import annotations

import os

PREFIX = "COGD_"
"""Of settings in the environment."""

SETTINGS_FILE = "/etc/cogd/cogd.toml"
APPS_DIR = "/var/lib/cognitum/apps"
TRUST_DIR = "/etc/cogd/trust.d"
CONTROL_SOCKET = "/run/cogd/control.sock"
STATE_DIR = "/var/lib/cogd"

_DEMO = os.path.join(os.path.dirname(__file__), "demo")
DEMO_APPS = os.path.join(_DEMO, "apps")
DEMO_KEY = os.path.join(_DEMO, "demo.pub")
"""Of `cogd.demo`, which has them as `Path`."""

SETTINGS = frozenset(
    {
        "sources",
        "sinks",
        "sink_credentials",
        "apps_dir",
        "trust_dir",
        "tick_ms",
        "batch_ms",
        "max_pending",
        "max_wait_ms",
        "stale_after_s",
        "absent_after_s",
        "frozen_after",
        "believe_simulated",
        "http_timeout_s",
        "http_token_file",
        "control_socket",
        "canary_s",
        "state_dir",
        "fuse_counts",
        "log_level",
    }
)
"""The names of all settings; `cogd.settings` says what each may be."""
