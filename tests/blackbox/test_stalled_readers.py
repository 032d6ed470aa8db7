"""Clients that ask and do not read: they are cut, and meanwhile nobody waits for ever."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from catalogue import MIB, Catalogue, Shape
from conftest import StartTidegate
from expect import json_error
from harness import Encryption, Front, Tidegate, request
from waiting import until

CLIENTS = 40


@contextmanager
def connections(gate: Tidegate, path: str) -> Iterator[None]:
    """Each asks on a connection of its own, of which it reads nothing."""
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(address(gate))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        yield


@contextmanager
def streams(gate: Tidegate, path: str) -> Iterator[None]:
    """All ask on one connection of HTTP/2, which is read and answers pings, and take 1,000 bytes of their stream. In the
    end it still stands, and each stream that was answered was reset."""
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    window = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000}
    http.local_settings = h2.settings.Settings(client=True, initial_values=window)
    http.initiate_connection()
    headers = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)]
    for number in range(CLIENTS):
        http.send_headers(2 * number + 1, headers, end_stream=True)
    answered, reset = set(), set()
    with socket.create_connection(address(gate)) as line:

        def read() -> None:
            line.sendall(http.data_to_send())
            while data := line.recv(1 << 16):
                for event in http.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived) and (b":status", b"200") in event.headers:
                        answered.add(event.stream_id)
                    if isinstance(event, h2.events.StreamReset):
                        reset.add(event.stream_id)
                line.sendall(http.data_to_send())

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield
            assert reader.is_alive(), "the connection was closed"
            until(lambda: answered <= reset, "all that were answered are reset", timeout=120)
            assert len(answered) >= 8
        finally:
            line.shutdown(socket.SHUT_RDWR)
            reader.join(5)


def address(gate: Tidegate) -> tuple[str, int]:
    """Where it listens."""
    host, port = gate.listen.split(":")
    return host, int(port)


@pytest.mark.parametrize("clients", [connections, streams])
def test_clients_that_do_not_read_keep_others_out_only_so_long(
    clients, front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """They take every share of the memory: 8 MiB are 32 of them."""
    large = objects.sized(front_1mb, Encryption.NONE, 32 * MIB, "never-read")
    small = objects.get(front_1mb, Encryption.NONE, Shape.BYTE)
    gate = start_tidegate(front_1mb, {"prefetch": {"memory": "8MiB"}, "server": {"write_timeout": "40s", "min_rate": 0}})
    with clients(gate, large.path()):
        until(lambda: gate.metrics().sum("tidegate_prefetch_memory_waits_total", **{"for": "floor"}) > 0, "all is taken")
        refused = request("GET", gate.url + small.path(), timeout=60)
        assert refused.status == 503
        assert refused.header("Retry-After") and "prefetch.memory" in json_error(refused)
        until(
            lambda: request("GET", gate.url + small.path(), timeout=60).status == 200, "they have been cut", timeout=150
        )


def test_the_system_takes_little_for_many_clients_of_one_address_that_read_nothing(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """It took half a megabyte for each, in thousands of pieces that fit what little room such a client has. So it does for 32."""
    large = objects.sized(front_1mb, Encryption.NONE, 32 * MIB, "never-read")
    gate = start_tidegate(front_1mb)
    with connections(gate, large.path()):
        until(lambda: len(unread(gate)) == CLIENTS and min(unread(gate)) > 0, "all have their answers")
        until(lambda: gate.metrics().sum("tidegate_fetches_in_flight") == 0, "nothing more comes", timeout=30)
        assert sum(size < MIB // 4 for size in unread(gate)) >= CLIENTS - 32


def unread(gate: Tidegate) -> list[int]:
    """Bytes that the system has for each client of it, sent or not, as Linux tells them (proc_net_tcp)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    at = f":{address(gate)[1]:04X}"
    return [int(line[4].partition(":")[0], 16) for line in lines if line[1].endswith(at) and line[3] == "01"]
