"""What systemd is told of the daemon, and the sockets that it passes: by the protocols alone, without a systemd."""

import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import StartTidegate
from harness import Front, Tidegate, request
from harness.ports import HOST, free_port
from waiting import until


class Manager:
    """The manager's end of the notify socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while data := self._socket.recv(4096):
            self.said.append(data.decode())

    def waits_for(self, text: str, timeout: float = 20.0) -> str:
        """The first message with that in it."""
        until(lambda: any(text in said for said in self.said), f"it says {text}: {self.said}", timeout)
        return next(said for said in self.said if text in said)


@pytest.fixture
def manager() -> Iterator[Manager]:
    # The name of a socket is short.
    with tempfile.TemporaryDirectory(prefix="tg") as here:
        yield Manager(Path(here) / "n")


def test_it_says_when_it_is_ready_reloads_and_stops(front_1mb: Front, start_tidegate: StartTidegate, manager: Manager) -> None:
    gate = start_tidegate(front_1mb, {"server": {"drain_timeout": "7s"}}, env={"NOTIFY_SOCKET": str(manager.path)})
    manager.waits_for("READY=1")
    manager.waits_for("STATUS=Serving")
    good = gate.config_file.read_text()
    for text, status in ((good, "STATUS=Serving"), (good + "\n[nonsense]\n", "STATUS=Serving with the configuration of before: ")):
        gate.config_file.write_text(text)
        manager.said.clear()
        before = time.monotonic_ns() // 1000
        gate.signal(signal.SIGHUP)
        manager.waits_for("READY=1")
        after = time.monotonic_ns() // 1000
        first, middle, last = manager.said
        reloading, _, when = first.rstrip().partition("\nMONOTONIC_USEC=")
        assert reloading == "RELOADING=1" and before <= int(when) <= after
        assert middle.startswith(status) and last.rstrip() == "READY=1"
    assert "nonsense" in middle and str(gate.config_file) in middle
    manager.said.clear()
    gate.signal(signal.SIGTERM)
    assert manager.waits_for("STOPPING=1") == "STOPPING=1\nEXTEND_TIMEOUT_USEC=12000000\n"
    assert gate.wait(10) == 0


def test_it_shows_that_it_lives_as_often_as_it_is_asked_to(
    front_1mb: Front, start_tidegate: StartTidegate, manager: Manager
) -> None:
    env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "1200000"}
    gate = start_tidegate(front_1mb, env=env)

    def signs(seconds: float) -> int:
        manager.said.clear()
        time.sleep(seconds)
        return sum("WATCHDOG=1" in said for said in manager.said)

    manager.waits_for("WATCHDOG=1")
    assert signs(2.4) >= 4, "at least every half of the time"
    gate.signal(signal.SIGSTOP)
    assert signs(1.2) <= 1
    gate.signal(signal.SIGCONT)
    manager.waits_for("WATCHDOG=1")
    gate.stop(5)
    quiet = start_tidegate(front_1mb, env={"NOTIFY_SOCKET": str(manager.path)})
    assert signs(1.2) == 0, "nobody asked"
    quiet.stop(5)


def listening() -> socket.socket:
    """A socket as a socket unit makes it."""
    made = socket.create_server((HOST, 0), backlog=64)
    made.settimeout(20)
    return made


def address(made: socket.socket) -> str:
    host, port = made.getsockname()
    return f"{host}:{port}"


@pytest.fixture
def passed(root: Path, front_1mb: Front) -> Iterator[Tidegate]:
    """A tidegate that is passed sockets for the front and the admin port; nobody listens where its file says."""
    gate = Tidegate(root / "tidegate", front_1mb.tidegate_config(), name="passed")
    with listening() as front, listening() as admin:
        gate.inherits = [("front", front), ("admin", admin)]
        gate.written = gate.listen  # type: ignore[attr-defined]
        gate.port, gate.listen, gate.admin = front.getsockname()[1], address(front), address(admin)
        gate.start()
        yield gate
        gate.stop(2)


def test_sockets_that_are_passed_are_served_in_place_of_addresses(passed: Tidegate, front_1mb: Front) -> None:
    assert request("PUT", front_1mb.filer.url + "/passed/file", body=b"by a socket").status == 201
    assert request("GET", passed.url + "/passed/file").body == b"by a socket"
    assert request("GET", passed.admin_url + "/healthz").status == 200
    host, _, port = passed.written.rpartition(":")  # type: ignore[attr-defined]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


def test_nobody_is_refused_while_it_restarts(passed: Tidegate, front_1mb: Front) -> None:
    assert request("PUT", front_1mb.filer.url + "/passed/file", body=b"by a socket").status == 201
    over = threading.Event()

    def asks() -> int:
        count = 0
        while not over.is_set():
            answer = request("GET", passed.url + "/passed/file", {"Connection": "close"}, timeout=30)
            assert (answer.status, answer.body) == (200, b"by a socket")
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(asks) for _ in range(4)]
        for _ in range(3):
            time.sleep(0.5)
            passed.signal(signal.SIGTERM)
            assert passed.wait(20) == 0
            time.sleep(0.3)
            passed.start()
        time.sleep(0.5)
        over.set()
        assert sum(done.result() for done in asking) > 20


def refused(gate: Tidegate, name: str, made: socket.socket) -> str:
    gate.inherits = [(name, made)]
    super(Tidegate, gate).start()
    assert gate.wait(20) == 2
    return gate.log.read_text().splitlines()[-1]


def test_a_socket_that_is_for_nothing_is_a_mistake(root: Path, front_1mb: Front) -> None:
    gate = Tidegate(root / "tidegate", front_1mb.tidegate_config(), name="mistaken")
    with listening() as made:
        said = refused(gate, "tidegate.socket", made)
        assert 'LISTEN_FDNAMES: no listener is called "tidegate.socket"' in said and "front, s3, admin" in said
        assert 'a socket is called "s3", but there is no S3 front; set s3.listen' in refused(gate, "s3", made)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((HOST, free_port()))
        assert "LISTEN_FDS: front: no TCP socket that listens" in refused(gate, "front", made)
