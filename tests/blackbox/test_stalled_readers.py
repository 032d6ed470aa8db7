"""Clients that ask and do not read: they are cut, and meanwhile nobody waits for ever."""

import socket
from contextlib import ExitStack

from catalogue import MIB, Catalogue, Shape
from conftest import StartTidegate
from expect import json_error
from harness import Encryption, Front, request
from waiting import until


def test_clients_that_do_not_read_keep_others_out_only_so_long(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """They take every share of the memory: 8 MiB are 32 of them."""
    large = objects.sized(front_1mb, Encryption.NONE, 32 * MIB, "never-read")
    small = objects.get(front_1mb, Encryption.NONE, Shape.BYTE)
    gate = start_tidegate(front_1mb, {"prefetch": {"memory": "8MiB"}})
    host, port = gate.listen.split(":")
    with ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, int(port)))
            client.sendall(f"GET {large.path()} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        until(lambda: gate.metrics().sum("tidegate_prefetch_memory_waits_total", **{"for": "floor"}) > 0, "all is taken")
        refused = request("GET", gate.url + small.path(), timeout=60)
        assert refused.status == 503
        assert refused.header("Retry-After") and "prefetch.memory" in json_error(refused)
        until(
            lambda: request("GET", gate.url + small.path(), timeout=60).status == 200, "they have been cut", timeout=150
        )
