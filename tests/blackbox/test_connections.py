"""Clients that take connections and headers: others are served, and memory stays where it was set."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import h2.connection
import h2.events
import hyperframe.frame
import pytest

from catalogue import Catalogue, Shape
from conftest import StartTidegate
from harness import Encryption, Front, Kms, Tidegate, request
from waiting import until

GET = b"GET /connections/small HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def small(front_1mb: Front) -> Front:
    assert request("PUT", front_1mb.filer.url + "/connections/small", body=b"small").status == 201
    return front_1mb


def connected(gate: Tidegate, address: str = "127.0.0.1") -> socket.socket:
    """A connection from this address of the machine."""
    line = socket.socket()
    line.settimeout(20)
    line.bind((address, 0))
    line.connect(("127.0.0.1", gate.port))
    return line


def status(line: socket.socket) -> bytes:
    """Of the answer to a request for a small file."""
    line.sendall(GET)
    return line.recv(1 << 16).split(b" ", 2)[1]


def is_served(gate: Tidegate, address: str = "127.0.0.1") -> None:
    with connected(gate, address) as line:
        assert status(line) == b"200"


def resident(gate: Tidegate) -> int:
    """MiB."""
    with open(f"/proc/{gate.pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


@contextmanager
def many(gate: Tidegate, number: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """So many connections from fifty addresses, each of which has sent this, as far as it was taken."""
    with ExitStack() as stack:
        lines = []
        for n in range(number):
            line = stack.enter_context(connected(gate, f"127.0.0.{2 + n % 50}"))
            lines.append(line)
            line.setblocking(False)
            try:
                line.send(sent)
            except OSError:
                pass
        yield lines


def test_one_address_does_not_take_all_connections(small: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(small, {"server": {"max_connections": 30, "max_connections_per_peer": 20}})
    with ExitStack() as stack:
        for _ in range(20):
            line = stack.enter_context(connected(gate, "127.0.0.2"))
            assert status(line) == b"200"
        refused = stack.enter_context(connected(gate, "127.0.0.2"))
        assert status(refused) == b"503"
        for _ in range(10):
            assert status(stack.enter_context(connected(gate, "127.0.0.3"))) == b"200"
        with connected(gate, "127.0.0.4") as line:
            line.sendall(GET)
            answer = line.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in answer
        counted = gate.metrics()
        assert counted.sum("tidegate_connections_refused_total", reason="peer_limit") == 1
        assert counted.sum("tidegate_connections_refused_total", reason="limit") == 1
        assert counted.sum("tidegate_connections") == 30
        assert request("GET", f"{gate.admin_url}/readyz").status == 200, "the admin listener has places of its own"
    until(lambda: gate.metrics().sum("tidegate_connections") == 0, "all places are free again")
    is_served(gate, "127.0.0.2")


def test_headers_that_do_not_end_take_no_more_than_was_set(small: Front, start_tidegate: StartTidegate) -> None:
    """3,000 with 200 KB each took 840 MiB."""
    gate = start_tidegate(small, {"server": {"header_memory": "16MiB"}})
    before = resident(gate)
    header = b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 200_000
    with many(gate, 1000, header):
        is_served(gate)
        until(lambda: gate.metrics().sum("tidegate_connections_refused_total", reason="header_memory") >= 900, "are cut")
        assert resident(gate) - before < 150
        is_served(gate)


def _open_header() -> bytes:
    """Of HTTP/2: some seven thousand fields, and more to come."""
    http = h2.connection.H2Connection()
    http.initiate_connection()
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    names = [a + b + c for a in letters[:6] for b in letters for c in letters]
    fields = b"".join(b"\0\3" + name.encode() + b"\0" for name in names[:7000])
    pieces = [fields[at : at + 16_000] for at in range(0, len(fields), 16_000)]
    frames = [hyperframe.frame.HeadersFrame(1, data=pieces[0], flags=["END_STREAM"])]
    frames += [hyperframe.frame.ContinuationFrame(1, data=piece) for piece in pieces[1:]]
    return http.data_to_send() + b"".join(frame.serialize() for frame in frames)


def test_headers_of_http2_that_do_not_end_take_no_more_than_was_set(small: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(small)
    before = resident(gate)
    with many(gate, 200, _open_header()):
        until(lambda: refused_for_headers(gate) > 100, "there is no room for most")
        assert resident(gate) - before < 100
        is_served(gate)


def test_an_upload_that_was_refused_takes_no_memory_of_headers(small: Front, start_tidegate: StartTidegate) -> None:
    """Over HTTP/2, where the connection goes on."""
    gate = start_tidegate(small, {"server": {"header_memory": "1MiB"}})
    http = h2.connection.H2Connection()
    http.initiate_connection()
    pseudo = [(":scheme", "http"), (":authority", "a")]
    http.send_headers(1, [(":method", "POST"), (":path", "/connections/x?cp.from=/etc/y"), *pseudo])
    left, answers = 5 << 20, {}
    with connected(gate) as line:
        while 3 not in answers:
            line.sendall(http.data_to_send())
            if 1 in answers and left and (room := min(http.local_flow_control_window(1), 16_384, left)):
                left -= room
                http.send_data(1, bytes(room), end_stream=not left)
                if not left:
                    http.send_headers(3, [(":method", "GET"), (":path", "/connections/small"), *pseudo], end_stream=True)
                continue
            received = line.recv(1 << 16)
            assert received, "the connection has ended"
            for event in http.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    answers[event.stream_id] = dict(event.headers)[b":status"]
    assert answers == {1: b"403", 3: b"200"}
    assert refused_for_headers(gate) == 0


def refused_for_headers(gate: Tidegate) -> float:
    return gate.metrics().sum("tidegate_connections_refused_total", reason="header_memory")


def test_idle_connections_end_and_give_their_places_back(small: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(small, {"server": {"idle_timeout": "2s"}})
    with many(gate, 300, GET) as lines:
        until(lambda: gate.metrics().sum("tidegate_connections") == 0, "idle ones end", timeout=15)
        for line in lines:
            line.setblocking(True)
            assert line.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_a_connection_is_used_again_after_it_rested(small: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(small)
    with connected(gate) as line:
        for pause in (0.0, 1.6, 2.5):
            threading.Event().wait(pause)
            assert status(line) == b"200"


def idle_without_probes(local: set[int], remote: set[int]) -> tuple[set[int], set[int]]:
    """Of these ports, those that are connected, and those of them with a connection that nobody probes: no timer runs."""
    connected, unprobed = set(), set()
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, state, _, timer, *_ = row.split()
        ports = {int(here.split(":")[1], 16)} & local | {int(there.split(":")[1], 16)} & remote
        if state == "01":
            connected |= ports
            unprobed |= ports if timer.startswith("00:") else set()
    return connected, unprobed


def test_connections_at_rest_hold_no_buffers_and_leave_nothing_behind(small: Front, start_tidegate: StartTidegate) -> None:
    """2,000 that have had an answer, all at once: a buffer that one is read into has 16 KiB."""
    gate = start_tidegate(small)
    is_served(gate)
    before = resident(gate)
    with many(gate, 2000, GET) as lines:
        for line in lines:
            line.settimeout(20)
            assert line.recv(1 << 16).split(b" ", 2)[1] == b"200"
        until(lambda: resident(gate) - before < 14, "buffers are given back", 20)
        is_served(gate)
    until(lambda: resident(gate) - before < 6, "what they held is given back", 20)


def test_every_idle_socket_is_probed(front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, kms: Kms) -> None:
    gate = start_tidegate(front_1mb)
    thing = objects.get(front_1mb, Encryption.SSE_KMS, Shape.MANY)
    key_service = urlsplit(kms.counted_endpoint).port
    with connected(gate) as line:
        line.sendall(f"GET {thing.path()} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert line.recv(12) == b"HTTP/1.1 200"
        local, remote = {gate.port}, {key_service}
        until(lambda: idle_without_probes(local, remote) == (local | remote, set()), "all are probed")


def _flood(name: str) -> bytes:
    """What a client of HTTP/2 sends that wants work done for nothing, some thousand times."""
    http = h2.connection.H2Connection()
    http.initiate_connection()
    begin = http.data_to_send()
    headers = http.encoder.encode([(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/connections/small")])
    sent = [begin]
    for number in range(20_000):
        stream = 2 * number + 1
        match name:
            case "resets":
                frame = hyperframe.frame.HeadersFrame(stream, data=headers, flags=["END_HEADERS", "END_STREAM"])
                sent += [frame.serialize(), hyperframe.frame.RstStreamFrame(stream, error_code=8).serialize()]
            case "pings":
                sent.append(hyperframe.frame.PingFrame(0, opaque_data=b"12345678").serialize())
            case "settings":
                sent.append(hyperframe.frame.SettingsFrame(0, settings={4: 65535 + number % 2}).serialize())
            case "continuations":
                if number == 0:
                    sent.append(hyperframe.frame.HeadersFrame(1, data=headers, flags=["END_STREAM"]).serialize())
                sent.append(hyperframe.frame.ContinuationFrame(1, data=b"\x00\x01a\x01b" * 200).serialize())
            case "empty-data":
                if number == 0:
                    sent.append(hyperframe.frame.HeadersFrame(1, data=headers, flags=["END_HEADERS"]).serialize())
                sent.append(hyperframe.frame.DataFrame(1, data=b"").serialize())
    return b"".join(sent)


@pytest.mark.parametrize("name", ["resets", "pings", "settings", "continuations", "empty-data"])
def test_floods_of_http2_cost_others_nothing(name: str, small: Front, start_tidegate: StartTidegate) -> None:
    """The client reads nothing of what it is answered."""
    gate = start_tidegate(small)
    before = resident(gate)
    flood = _flood(name)

    def send(line: socket.socket) -> None:
        try:
            line.sendall(flood)
        except OSError:
            pass  # cut, or the server reads no more

    with ExitStack() as stack:
        lines = [stack.enter_context(connected(gate, f"127.0.0.{2 + n}")) for n in range(8)]
        senders = [threading.Thread(target=send, args=(line,), daemon=True) for line in lines]
        for line in lines:
            line.settimeout(5)
        for sender in senders:
            sender.start()
        for _ in range(20):
            is_served(gate)
        for sender in senders:
            sender.join(10)
        is_served(gate)
        assert resident(gate) - before < 100
