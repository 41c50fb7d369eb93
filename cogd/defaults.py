"""Where things are unless somebody says otherwise; apart from the settings, whose import takes too long for a probe."""

from __future__ import annotations

PREFIX = "COGD_"
"""Of settings in the environment."""

SETTINGS_FILE = "/etc/cogd/cogd.toml"
APPS_DIR = "/var/lib/cognitum/apps"
TRUST_DIR = "/etc/cogd/trust.d"
CONTROL_SOCKET = "/run/cogd/control.sock"

SETTINGS = frozenset(
    {
        "sources",
        "sinks",
        "apps_dir",
        "trust_dir",
        "tick_ms",
        "max_pending",
        "stale_after_s",
        "absent_after_s",
        "frozen_after",
        "believe_simulated",
        "http_timeout_s",
        "http_token_file",
        "control_socket",
        "canary_s",
        "log_level",
    }
)
"""The names of all settings; `cogd.settings` says what each may be."""
