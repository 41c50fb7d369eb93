"""How each part is measured, in words: printed beside the figures, and the same on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

METHOD: Mapping[str, str] = {
    "tight": (
        "Tight loop, one app, one window a tick, ticks between two beats, simulated datagrams of one node: from a "
        "datagram in hand (decode, window, prepare, infer, read, encode) to the event's bytes in hand. In turn with "
        "it, in the same loop, a bare `session.run` of the same graph with the same options. The stages are medians of "
        "a second pass."
    ),
    "paced": (
        "The daemon with one node at 25 Hz (and one frame more in all, so that its phase passes over the whole beat), "
        "datagrams over loopback from another process: from the kernel's stamp on the datagram to event bytes. CPU is "
        "user and system time of the daemon's process over time once the windows are full, 1 is one core."
    ),
    "nodes": (
        "The same with more nodes, phases spread over the period. Daemon and sender are pinned: the sender to the last "
        "core, the daemon to the others. Late is what comes later than 40 ms after its frame; what never comes is late "
        "too. `waited` is the share of the time that other programs had the daemon's core while it was ready to run."
    ),
    "sustained": (
        "The highest number of nodes at 25 Hz with at most 0.1 % of the events late or missing, by bisection, each "
        "number tried twice before it fails. Beside it `session.run` on the same graph with batches of 64, in this "
        "process, on the daemon's cores with as many threads, before and after."
    ),
    "overload": (
        "Three times the highest rate for two seconds, on top of a normal load that goes on. Shed is counted by the "
        "daemon. It has recovered with the last late event."
    ),
    "idle": (
        "The installed program with one node at 25 Hz that sends from the program's start on; its output is read. CPU "
        "and memory from /proc, from the first event on. The first event is counted from the node's 20th datagram."
    ),
}
