"""SIGTERM: not ready any more, then no new connections, running downloads end as they would have, then exit code 0."""

import http.client
import signal
import socket

import pytest
from catalogue import Catalogue, Object
from conftest import StartTidegate
from expect import same_bytes
from harness import Encryption, Front, Tidegate, open_stream, request
from waiting import until

MIB = 1 << 20
SMALL_MEMORY = {"prefetch": {"memory": "8MiB"}}


@pytest.fixture
def large(front_4mb: Front, objects: Catalogue) -> Object:
    """More than fits into tidegate's memory and the kernel's socket buffers together."""
    return objects.sized(front_4mb, Encryption.SSE_C, 64 * MIB, "large")


def refuses_connections(gate: Tidegate) -> bool:
    host, _, port = gate.listen.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        # It waited to be accepted when the socket was closed. The next one is refused.
        return False
    return False


def test_a_running_download_is_finished_first(front_4mb: Front, large: Object, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_4mb, SMALL_MEMORY)
    with open_stream("GET", gate.url + large.path(), large.key_headers) as response:
        same_bytes(response.read(MIB), large.content[:MIB])
        gate.signal(signal.SIGTERM)
        until(lambda: refuses_connections(gate), "new connections are refused")
        assert gate.running
        same_bytes(response.read(), large.content[MIB:])
    assert gate.wait(10) == 0


def test_an_idle_daemon_ends_at_once(front_4mb: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_4mb)
    gate.signal(signal.SIGTERM)
    assert gate.wait(5) == 0


def test_an_idle_kept_alive_connection_is_no_reason_to_stay(front_4mb: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_4mb)
    host, _, port = gate.listen.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/nothing-here")
    connection.getresponse().read()
    gate.signal(signal.SIGTERM)
    assert gate.wait(5) == 0
    connection.close()


def test_a_download_that_takes_too_long_is_cut(front_4mb: Front, large: Object, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_4mb, {**SMALL_MEMORY, "server": {"drain_timeout": "1s"}})
    with open_stream("GET", gate.url + large.path(), large.key_headers) as response:
        same_bytes(response.read(MIB), large.content[:MIB])
        gate.signal(signal.SIGTERM)
        gate.wait(10)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()


def test_readiness_ends_with_the_filer(front_4mb: Front, start_tidegate: StartTidegate) -> None:
    """/healthz says that tidegate lives, /readyz that a filer answers."""
    gate = start_tidegate(front_4mb)
    assert request("GET", f"{gate.admin_url}/healthz").status == 200
    assert request("GET", f"{gate.admin_url}/readyz").status == 200
    front_4mb.filer.signal(signal.SIGSTOP)
    try:
        until(lambda: request("GET", f"{gate.admin_url}/readyz").status == 503, "/readyz says 503", timeout=20)
        assert request("GET", f"{gate.admin_url}/healthz").status == 200
    finally:
        front_4mb.filer.signal(signal.SIGCONT)
    until(lambda: request("GET", f"{gate.admin_url}/readyz").status == 200, "/readyz says 200 again", timeout=20)


def test_who_sends_clients_here_learns_of_the_end_before_they_are_refused(
    front_4mb: Front, large: Object, start_tidegate: StartTidegate
) -> None:
    """For `server.lame_duck` only /readyz says that the end is near; a download that began before it is finished."""
    gate = start_tidegate(front_4mb, {**SMALL_MEMORY, "server": {"lame_duck": "3s"}})
    with open_stream("GET", gate.url + large.path(), large.key_headers) as response:
        same_bytes(response.read(MIB), large.content[:MIB])
        gate.signal(signal.SIGTERM)
        until(lambda: request("GET", f"{gate.admin_url}/readyz").status == 503, "/readyz says 503", timeout=2)
        later = request("GET", gate.url + large.path(), {**large.key_headers, "Range": "bytes=0-99"})
        assert (later.status, later.body) == (206, large.content[:100])
        until(lambda: refuses_connections(gate), "new connections are refused", timeout=5)
        same_bytes(response.read(), large.content[MIB:])
    assert gate.wait(10) == 0


def test_a_second_sigterm_ends_at_once(front_4mb: Front, large: Object, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_4mb, {**SMALL_MEMORY, "server": {"lame_duck": "60s"}})
    with open_stream("GET", gate.url + large.path(), large.key_headers) as response:
        same_bytes(response.read(MIB), large.content[:MIB])
        gate.signal(signal.SIGTERM)
        until(lambda: request("GET", f"{gate.admin_url}/readyz").status == 503, "/readyz says 503", timeout=2)
        gate.signal(signal.SIGTERM)
        assert gate.wait(5) == 0
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()
