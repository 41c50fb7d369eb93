"""Nodes, as a process of their own: `python -m cogd.bench.sender JSON` sends to this machine, then says what it sent.

Datagrams have the layout of an ESP32's L-LTF: 64 bins of which 52 are active. Each node has forty different ones and
sends them in turn, with a sequence number; the nodes' phases are spread over the period, so that datagrams leave
evenly. Node ids are one byte: more nodes than that speak to several ports, in turn. It needs no NumPy and starts at
once.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import random
import socket
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, cast

from cogd.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

NODES_A_PORT = 256
BUCKET_S = 0.1
"""What was sent is told for each tenth of a second."""

_PAYLOADS = 40
_HEADER = struct.Struct("<IBBHIIbbBB")
_MAGIC_CSI = 0xC5110001
_SEQUENCE = struct.Struct("<I")
_SEQUENCE_OFFSET = 12
_BINS = 64
_ACTIVE = (*range(1, 27), *range(38, 64))
_PAUSE_S = 5e-3
"""A sender that is later than that has been kept from running: all that follows is later by as much. To send what was
due meanwhile in one burst is what nodes, which are machines of their own, never do."""

_GIVE_UP_S = 5.0
"""A sender that was kept from running for so long in all stops, and has sent less."""

_REPORT_S = 10.0


@dataclass(frozen=True)
class Group:
    """Nodes that send alike, from `from_s` on until `until_s` after the start."""

    nodes: int
    rate_hz: float
    from_s: float
    until_s: float


@dataclass(frozen=True)
class Sent:
    """What was sent.

    Attributes:
        datagrams: sent by each group.
        refused: of these, how many nobody was listening for.
        started_s: unix time of the start.
        took_s: from the start to the last one.
        paused_s: for how long in all the sender was kept from running.
        ended_s: of each group, from the start to its last one.
        buckets: datagrams in each tenth of a second from the start on.
    """

    datagrams: list[int]
    refused: int
    started_s: float
    took_s: float
    paused_s: float
    ended_s: list[float]
    buckets: list[int] = field(repr=False)

    @property
    def total(self) -> int:
        """All datagrams."""
        return sum(self.datagrams)


def ports_needed(groups: list[Group]) -> int:
    """Ports that so many nodes speak to."""
    return -(-sum(group.nodes for group in groups) // NODES_A_PORT)


def start(ports: list[int], groups: list[Group], cores: list[int] | None = None) -> subprocess.Popen[bytes]:
    """Start a sender to ports of this machine, 127.0.0.1; give it to `finish` for its report."""
    order = json.dumps({"ports": ports, "groups": [asdict(group) for group in groups], "cores": cores})
    command = [sys.executable, "-m", "cogd.bench.sender", order]
    return subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603  # nothing of it comes from outside


def finish(sender: subprocess.Popen[bytes]) -> Sent:
    """The report of a sender that has come to its end.

    Raises:
        BenchError: it has not, or it failed.
    """
    try:
        out, _ = sender.communicate(timeout=_REPORT_S)
    except subprocess.TimeoutExpired:
        sender.kill()
        sender.communicate()
        raise BenchError("the sender did not come to its end") from None
    if sender.returncode:
        raise BenchError(f"the sender failed with status {sender.returncode}")
    return Sent(**json.loads(out))


def datagrams(node_id: int, seed: int) -> list[bytearray]:
    """The datagrams that a node sends in turn; their sequence number is 0."""
    chance = random.Random(seed)  # noqa: S311  # not a secret
    made = []
    for _ in range(_PAYLOADS):
        iq = bytearray(2 * _BINS)
        for pick in _ACTIVE:
            iq[2 * pick : 2 * pick + 2] = bytes((chance.randrange(5, 60), chance.randrange(5, 60)))
        made.append(bytearray(_HEADER.pack(_MAGIC_CSI, node_id, 1, _BINS, 2437, 0, -40, -90, 0, 0) + iq))
    return made


def schedule(first_node: int, group: Group) -> Iterator[tuple[float, int, int]]:
    """When each datagram of a group is due, in seconds from the start, with its node and sequence number."""
    step_s = 1.0 / (group.rate_hz * group.nodes) if group.nodes else 0.0
    count = round((group.until_s - group.from_s) * group.rate_hz) * group.nodes
    for number in range(count):
        sequence, node = divmod(number, group.nodes)
        yield group.from_s + number * step_s, first_node + node, sequence


def send(ports: list[int], groups: list[Group]) -> Sent:
    """Send all that is due, when it is due."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in ports]
    for opened, port in zip(sockets, ports, strict=True):
        opened.connect(("127.0.0.1", port))
    firsts = [sum(group.nodes for group in groups[:index]) for index in range(len(groups))]
    pools = [datagrams(0, seed) for seed in range(8)]  # a pool for each node would take minutes to make for thousands
    messages = [
        [_of_node(message, node // len(ports)) for message in pools[node % len(pools)]]
        for node in range(sum(group.nodes for group in groups))
    ]
    due = heapq.merge(*(schedule(first, group) for first, group in zip(firsts, groups, strict=True)))
    last_of = [first + group.nodes for first, group in zip(firsts, groups, strict=True)]
    sent, ended_s, refused, paused_s = [0] * len(groups), [0.0] * len(groups), 0, 0.0
    buckets = [0] * (int((max(group.until_s for group in groups) + _GIVE_UP_S) / BUCKET_S) + 1)
    monotonic, sleep, patch = time.monotonic, time.sleep, _SEQUENCE.pack_into
    started_unix_s, started_s = time.time(), monotonic()
    now_s = 0.0
    for due_s, node, sequence in due:
        now_s = monotonic() - started_s
        while now_s < due_s + paused_s:
            sleep(due_s + paused_s - now_s)
            now_s = monotonic() - started_s
        if now_s - due_s - paused_s > _PAUSE_S:
            paused_s = now_s - due_s
            if paused_s > _GIVE_UP_S:
                break
        message = messages[node][sequence % _PAYLOADS]
        patch(message, _SEQUENCE_OFFSET, sequence)
        try:
            sockets[node % len(ports)].send(message)
        except ConnectionRefusedError:
            refused += 1
        group = next(index for index, last in enumerate(last_of) if node < last)
        sent[group] += 1
        ended_s[group] = now_s
        buckets[min(int(now_s / BUCKET_S), len(buckets) - 1)] += 1
    for opened in sockets:
        opened.close()
    return Sent(sent, refused, started_unix_s, now_s, paused_s, ended_s, buckets)


def _of_node(message: bytearray, node_id: int) -> bytearray:
    own = bytearray(message)
    own[4] = node_id
    return own


def main(order: str) -> None:
    """Do what the order says, and report on standard output."""
    given = json.loads(order)
    if given["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, given["cores"])
    groups = [Group(**group) for group in given["groups"]]
    print(json.dumps(asdict(send(cast("list[int]", given["ports"]), groups))))  # noqa: T201  # its report


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is for whoever started it
        main(sys.argv[1])
