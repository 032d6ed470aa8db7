"""Entries in memory are true: whatever is written, wherever, is what the next reads give."""

import itertools
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from conftest import StartTidegate
from harness import Cluster, Front, Tidegate, request
from harness.line import read_reply
from harness.relay import Behaviour, Relay
from harness.wire import Answer
from waiting import until

_numbers = itertools.count()
HOST = "127.0.0.1"
MANY = 300
EVENT = 2.0
"""Seconds within which the filer's word of a change must have come. On loopback it takes milliseconds."""


@pytest.fixture(scope="module")
def front(cluster: Cluster) -> Front:
    """A front that nobody else writes to."""
    return cluster.add_front("fresh", maxMB=1)


@pytest.fixture
def gate(front: Front, start_tidegate: StartTidegate) -> Tidegate:
    """A tidegate that follows the filer's changes."""
    return following(start_tidegate(front))


@pytest.fixture(params=["filer", "tidegate"])
def writer(request: pytest.FixtureRequest, front: Front, gate: Tidegate) -> str:
    """Where writes go: to the filer past tidegate, or through it."""
    return front.filer.url if request.param == "filer" else gate.url


@pytest.fixture
def directory() -> str:
    """A directory of the test's own."""
    return f"/fresh/{next(_numbers)}"


def following(gate: Tidegate) -> Tidegate:
    """Waits until entries are kept."""
    until(lambda: gate.metrics().sum("tidegate_filer_subscription_up") == 1, "changes are followed", 20)
    return gate


def hits(gate: Tidegate) -> float:
    """Entries that were given from memory so far."""
    return gate.metrics().sum("tidegate_cache_requests_total", cache="entries", outcome="hit")


def write(url: str, content: bytes, query: str = "") -> None:
    """Writes a file and expects that it was."""
    answer = request("PUT", url + query, {"Content-Type": "application/x-test"}, content)
    assert answer.status in (200, 201), answer


def done(answer: Answer) -> None:
    """Expects success, whatever the filer calls it."""
    assert 200 <= answer.status < 300, answer


def remembered(gate: Tidegate, path: str, content: bytes) -> None:
    """Reads a file until its entry comes from memory."""

    def from_memory() -> bool:
        before = hits(gate)
        answer = request("GET", gate.url + path)
        assert (answer.status, answer.body) == (200, content)
        return hits(gate) > before

    until(from_memory, f"{path} is in memory")


def becomes(gate: Tidegate, writer: str, path: str, status: int, content: bytes | None = None) -> None:
    """The file is this: at once if tidegate has seen the write itself, else as soon as the filer has told."""

    def is_new() -> bool:
        answer = request("GET", gate.url + path)
        return answer.status == status and content in (None, answer.body)

    if writer == gate.url:
        assert is_new()
    else:
        until(is_new, f"{path} answers {status} with what was written", EVENT)


@pytest.fixture
def distant(front: Front, start_tidegate: StartTidegate) -> Iterator[Tidegate]:
    """A tidegate that the filer is 100 ms away from, for what it looks up."""
    relay = Relay((HOST, 0), (HOST, front.filer.grpc_port), Behaviour(delay=0.05))
    try:
        yield following(start_tidegate(front, {"filer": {"addresses": [f"{front.filer.address}.{relay.port}"]}}))
    finally:
        relay.stop()


@pytest.mark.parametrize("kind", ["kept", "never kept", "missing"])
def test_many_that_ask_for_one_file_at_once_are_few_questions(distant: Tidegate, directory: str, kind: str) -> None:
    path = f"{directory}/file"
    if kind != "missing":
        write(distant.url + path, b"content", "?ttl=1h" if kind == "never kept" else "")

    def lookups() -> float:
        return distant.metrics().sum("tidegate_filer_seconds_count", question="lookup")

    before = lookups()
    with ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection((HOST, distant.port), timeout=30)) for _ in range(MANY)]
        for line in lines:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        replies = [read_reply(line, "GET")[0] for line in lines]
    wanted = (404, b"") if kind == "missing" else (200, b"content")
    assert {(reply.status, reply.body if reply.status == 200 else b"") for reply in replies} == {wanted}
    assert 1 <= lookups() - before <= MANY / 10


def test_who_was_told_that_it_is_written_reads_it_however_many_ask(distant: Tidegate, directory: str) -> None:
    """A reader that comes behind a write is told what was written, while others' questions for the file are under way."""
    path = f"{directory}/file"
    write(distant.url + path, b"0", "?ttl=1h")
    ended = threading.Event()

    def reads() -> None:
        while not ended.is_set():
            assert request("GET", distant.url + path).status == 200

    with ThreadPoolExecutor() as pool:
        others = [pool.submit(reads) for _ in range(4)]
        try:
            for number in range(1, 15):
                write(distant.url + path, b"%d" % number, "?ttl=1h")
                assert request("GET", distant.url + path).body == b"%d" % number
        finally:
            ended.set()
        assert [other.result() for other in others] == [None] * 4


def test_a_resumable_upload_is_read_when_its_last_piece_is_there(distant: Tidegate, directory: str) -> None:
    """Its path does not name the file: the old one was read until the filer's event came."""
    path, tus = f"{directory}/file", {"Tus-Resumable": "1.0.0"}
    write(distant.url + path, b"old")
    remembered(distant, path, b"old")
    begun = request("POST", f"{distant.url}/.tus{path}", {**tus, "Upload-Length": "3", "Content-Length": "0"})
    assert begun.status == 201, begun
    remembered(distant, path, b"old")
    headers = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    done(request("PATCH", distant.url + begun.header("Location"), headers, b"new"))
    assert request("GET", distant.url + path).body == b"new"


def test_an_overwritten_file_is_the_new_one(gate: Tidegate, writer: str, directory: str) -> None:
    path = f"{directory}/file"
    write(writer + path, b"old")
    remembered(gate, path, b"old")
    write(writer + path, b"the new one")
    becomes(gate, writer, path, 200, b"the new one")
    remembered(gate, path, b"the new one")


def test_a_deleted_file_is_gone(gate: Tidegate, writer: str, directory: str) -> None:
    path = f"{directory}/file"
    write(writer + path, b"old")
    remembered(gate, path, b"old")
    done(request("DELETE", writer + path))
    becomes(gate, writer, path, 404)


def test_a_file_grows_by_what_is_appended(gate: Tidegate, writer: str, directory: str) -> None:
    path = f"{directory}/file"
    write(writer + path, b"first")
    remembered(gate, path, b"first")
    write(writer + path, b", second", "?op=append")
    becomes(gate, writer, path, 200, b"first, second")


def test_a_renamed_directory_takes_its_files_along(gate: Tidegate, writer: str, directory: str) -> None:
    path = f"{directory}/a/b/file"
    write(writer + path, b"moved")
    remembered(gate, path, b"moved")
    done(request("POST", f"{writer}{directory}/z?mv.from={directory}/a"))
    becomes(gate, writer, path, 404)
    becomes(gate, writer, f"{directory}/z/b/file", 200, b"moved")


def test_a_file_renamed_over_another_replaces_it(gate: Tidegate, writer: str, directory: str) -> None:
    old, new = f"{directory}/old%20name", f"{directory}/target"
    write(writer + new, b"replaced")
    write(writer + old, b"moved")
    remembered(gate, new, b"replaced")
    remembered(gate, old, b"moved")
    done(request("POST", f"{writer}{new}?mv.from={old}"))
    becomes(gate, writer, new, 200, b"moved")
    becomes(gate, writer, old, 404)


@pytest.mark.parametrize("how", ["written", "mv", "cp"])
def test_a_file_below_which_something_is_put_is_a_directory(
    gate: Tidegate, front: Front, writer: str, directory: str, how: str
) -> None:
    """The filer tells of it, but not where the something was moved there: the file was served for good."""
    path, other = f"{directory}/file", f"{directory}/other"
    write(front.filer.url + path, b"a file")
    write(front.filer.url + other, b"another")
    remembered(gate, path, b"a file")
    if how == "written":
        write(f"{writer}{path}/below", b"another")
    else:
        done(request("POST", f"{writer}{path}/below?{how}.from={other}"))

    def is_listed() -> bool:
        return b'"Entries"' in request("GET", gate.url + path, {"Accept": "application/json"}).body

    if writer == gate.url:
        assert is_listed()
    else:
        until(is_listed, f"{path} is a directory", EVENT)


def test_a_recursive_delete_takes_all_files(gate: Tidegate, writer: str, directory: str) -> None:
    paths = [f"{directory}/tree/{name}" for name in ("file", "a/file", "a/b/c/file")]
    for path in paths:
        write(writer + path, b"old")
        remembered(gate, path, b"old")
    done(request("DELETE", f"{writer}{directory}/tree?recursive=true"))
    for path in paths:
        becomes(gate, writer, path, 404)


def test_what_others_read_does_not_undo_a_write(gate: Tidegate, front: Front, directory: str) -> None:
    path = f"{directory}/file"
    for number in range(100):
        content = f"number {number}".encode()
        write(gate.url + path, content)
        for _ in range(3):
            assert request("GET", gate.url + path).body == content


def test_what_the_filer_refuses_throws_nothing_away(gate: Tidegate, front: Front, directory: str) -> None:
    """Nor does a piece of an upload, which goes to a path where no entry is."""
    path, content = f"{directory}/file", b"kept"
    write(front.filer.url + path, content)
    tus = {"Tus-Resumable": "1.0.0"}
    made = request("POST", f"{front.filer.url}/.tus{directory}/other", {**tus, "Upload-Length": "9", "Content-Length": "0"})
    piece = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    for method, target, headers, status in (
        ("FOO", "/", {}, 405),
        ("MKCOL", directory, {}, 405),
        ("POST", f"{path}?mv.from=/nowhere", {}, 400),
        ("PATCH", made.header("Location"), piece, 204),
    ):
        remembered(gate, path, content)
        before = hits(gate)
        assert request(method, gate.url + target, headers, b"piece" if method == "PATCH" else None).status == status
        assert request("GET", gate.url + path).body == content
        assert hits(gate) == before + 1, method


def test_off_asks_the_filer_at_every_read(front: Front, start_tidegate: StartTidegate, directory: str) -> None:
    gate = start_tidegate(front, {"cache": {"entries": "off"}})
    path = f"{directory}/file"
    for content in (b"one", b"two"):
        write(front.filer.url + path, content)
        assert [request("GET", gate.url + path).body for _ in range(3)] == [content] * 3
    assert gate.metrics().sum("tidegate_cache_requests_total", cache="entries") == 0
    assert gate.metrics().sum("tidegate_filer_subscription_up") == 0


def test_a_silent_filer_is_not_believed(cluster: Cluster, start_tidegate: StartTidegate) -> None:
    front = cluster.add_front("silent", maxMB=1)
    gate = following(start_tidegate(front))
    write(front.filer.url + "/file", b"old")
    remembered(gate, "/file", b"old")
    front.filer.signal(signal.SIGSTOP)
    try:
        until(lambda: gate.metrics().sum("tidegate_filer_subscription_up") == 0, "the silence is noticed", 20)
        before = hits(gate)
    finally:
        front.filer.signal(signal.SIGCONT)
    assert request("GET", gate.url + "/file").body == b"old"
    write(front.filer.url + "/file", b"new")
    becomes(gate, front.filer.url, "/file", 200, b"new")
    following(gate)
    assert hits(gate) >= before
    remembered(gate, "/file", b"new")


def test_what_was_written_while_the_filer_was_away_is_seen(cluster: Cluster, start_tidegate: StartTidegate) -> None:
    front = cluster.add_front("away", maxMB=1)
    gate = following(start_tidegate(front))
    for name in ("kept", "changed"):
        write(f"{front.filer.url}/{name}", b"old")
        remembered(gate, f"/{name}", b"old")
    front.filer.stop(grace=0)
    until(lambda: gate.metrics().sum("tidegate_filer_subscription_up") == 0, "the loss is noticed")
    assert request("GET", gate.url + "/kept").status == 503
    front.filer.start()
    front.filer.wait_ready(lambda: request("GET", front.filer.url + "/", timeout=2).status < 500)
    write(front.filer.url + "/changed", b"new")
    until(lambda: request("GET", gate.url + "/kept").body == b"old", "the filer is asked again")
    assert request("GET", gate.url + "/changed").body == b"new"
    following(gate)
    remembered(gate, "/changed", b"new")


@pytest.fixture
def two(cluster: Cluster) -> Iterator[list[Front]]:
    """Two filers that do not know each other: what both hold, the test has written to both."""
    number = next(_numbers)
    yield [cluster.add_front(f"two-{number}-{which}", maxMB=1) for which in "ab"]


def test_another_filer_answers_on_the_same_request(two: list[Front], start_tidegate: StartTidegate) -> None:
    first, second = two
    for front in two:
        write(front.filer.url + "/file", b"both have it")
    gate = following(start_tidegate(first, {"filer": {"addresses": [front.filer.address for front in two]}}))
    remembered(gate, "/file", b"both have it")
    first.filer.stop(grace=0)
    assert request("GET", gate.url + "/file").body == b"both have it"
    write(gate.url + "/written", b"through the other one")
    assert request("GET", second.filer.url + "/written").body == b"through the other one"
    assert request("GET", gate.url + "/written").body == b"through the other one"
    assert request("GET", gate.admin_url + "/readyz").status == 200
    # The other one is followed from now on.
    remembered(following(gate), "/file", b"both have it")
    write(second.filer.url + "/file", b"new")
    becomes(gate, second.filer.url, "/file", 200, b"new")
    second.filer.stop(grace=0)
    until(lambda: request("GET", gate.admin_url + "/readyz").status == 503, "nobody is left")


def test_a_write_goes_to_another_filer_if_nothing_was_sent(two: list[Front], start_tidegate: StartTidegate) -> None:
    first, second = two
    gate = start_tidegate(
        first,
        {
            "filer": {"addresses": [front.filer.address for front in two]},
            "cache": {"entries": "off"},
        },
    )
    first.filer.stop(grace=0)
    write(gate.url + "/first-of-all", b"content" * 100_000)
    assert request("GET", second.filer.url + "/first-of-all").body == b"content" * 100_000
