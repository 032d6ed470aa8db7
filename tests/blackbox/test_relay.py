"""What is not a read goes to the filer and back: uploads, deletions, listings, tags, metadata, chunks."""

import json
import socket
import time
from pathlib import Path

import h2.connection
import pytest
from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import json_error
from harness import Encryption, Front, Payload, Tidegate, request
from harness.relay import Behaviour, Relay
from harness.wire import exchange
from waiting import until

MIB = 1 << 20


@pytest.fixture
def place(front_1mb: Front, request: pytest.FixtureRequest) -> str:
    """A path at the filer that no other test uses."""
    return f"/relayed/{request.node.name}"


def peak_memory(gate: Tidegate) -> int:
    """The most resident memory that the process has had, in bytes."""
    status = Path(f"/proc/{gate.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def test_put_get_delete(front_1mb: Front, gate_1mb: Tidegate, place: str) -> None:
    content = Payload(place, 3 * MIB + 5).bytes()
    written = request("PUT", gate_1mb.url + place, {"Content-Type": "text/x-tide"}, content)
    assert written.status == 201
    assert json.loads(written.body)["size"] == len(content)
    for base in (front_1mb.filer.url, gate_1mb.url):
        answer = request("GET", base + place)
        assert (answer.status, answer.body == content) == (200, True)
        assert answer.header("Content-Type") == "text/x-tide"
    assert request("DELETE", gate_1mb.url + place).status == 204
    assert request("GET", front_1mb.filer.url + place).status == 404
    assert request("GET", gate_1mb.url + place).status == 404


def test_post_of_a_form(front_1mb: Front, gate_1mb: Tidegate, place: str) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\nin a form\r\n--b--\r\n'
    answer = request("POST", f"{gate_1mb.url}{place}/", {"Content-Type": "multipart/form-data; boundary=b"}, form)
    assert answer.status == 201
    assert request("GET", f"{front_1mb.filer.url}{place}/f.txt").body == b"in a form"


def test_a_chunked_upload(front_1mb: Front, gate_1mb: Tidegate, place: str) -> None:
    payload = Payload(place, 5 * MIB + 3)
    pieces = (payload.range(at, at + 100_001) for at in range(0, payload.size, 100_001))
    assert request("PUT", gate_1mb.url + place, body=pieces).status == 201
    assert request("GET", front_1mb.filer.url + place).body == payload.bytes()


def test_a_large_upload_streams_through(front_1mb: Front, start_tidegate: StartTidegate, place: str) -> None:
    gate = start_tidegate(front_1mb)
    payload = Payload(place, 160 * MIB)
    pieces = (payload.range(at, at + MIB) for at in range(0, payload.size, MIB))
    before = peak_memory(gate)
    assert request("PUT", gate.url + place, {"Content-Length": str(payload.size)}, pieces).status == 201
    assert peak_memory(gate) - before < 48 * MIB, "the upload was held in memory"
    assert int(request("HEAD", front_1mb.filer.url + place).header("Content-Length")) == payload.size
    assert request("DELETE", gate.url + place).status == 204


@pytest.mark.parametrize("reason", [None, 0, 8], ids=["whole", "no-error", "cancel"])
def test_an_upload_whose_stream_is_reset_is_not_stored(
    front_1mb: Front, start_tidegate: StartTidegate, place: str, reason: int | None
) -> None:
    """Whatever reason its client gives: Envoy gives none (0) when its own client has left."""
    filer = front_1mb.filer
    seen = Behaviour(remember=True)
    relay = Relay(("127.0.0.1", 0), ("127.0.0.1", filer.port), seen)
    http = h2.connection.H2Connection()
    http.initiate_connection()
    http.send_headers(1, [(":method", "PUT"), (":path", place), (":scheme", "http"), (":authority", "a")])
    http.send_data(1, b"half an upload")
    try:
        gate = start_tidegate(front_1mb, {"filer": {"addresses": [f"127.0.0.1:{relay.port}.{filer.grpc_port}"]}})
        with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as line:
            line.sendall(http.data_to_send())
            until(lambda: b"half an upload" in seen.sent_by_clients, "the filer has the first half")
            http.end_stream(1) if reason is None else http.reset_stream(1, reason)
            line.sendall(http.data_to_send())
            until(lambda: gate.metrics().sum("tidegate_requests_total", method="PUT") == 1, "the upload is over")
            # The end of the body, if there is one, is on its way over another connection.
            ends = time.monotonic() + 1
            while time.monotonic() < ends and request("GET", filer.url + place).status == 404:
                time.sleep(0.05)
    finally:
        relay.stop()
    assert request("GET", filer.url + place).status == (200 if reason is None else 404)


def test_expect_100_continue(front_1mb: Front, gate_1mb: Tidegate, place: str) -> None:
    """The body is sent only when the interim answer has come, so a relay that waits for the body hangs here."""
    content = Payload(place, 70_000).bytes()
    host, _, port = gate_1mb.listen.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            f"PUT {place} HTTP/1.1\r\nHost: {gate_1mb.listen}\r\nContent-Length: {len(content)}\r\n"
            "Expect: 100-continue\r\nConnection: close\r\n\r\n".encode()
        )
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        connection.sendall(content)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 201")
    assert request("GET", front_1mb.filer.url + place).body == content


def test_listings(front_1mb: Front, gate_1mb: Tidegate, place: str) -> None:
    for name in ("a", "b", "c"):
        request("PUT", f"{gate_1mb.url}{place}/{name}", body=name.encode())
    for query in ("", "?limit=2", "?lastFileName=a", "?namePattern=b*"):
        headers = {"Accept": "application/json"}
        answer = request("GET", f"{gate_1mb.url}{place}/{query}", headers)
        wanted = request("GET", f"{front_1mb.filer.url}{place}/{query}", headers)
        assert answer.status == wanted.status == 200
        assert json.loads(answer.body) == json.loads(wanted.body), query
    page = request("GET", f"{gate_1mb.url}{place}/", {"Accept": "text/html"})
    assert page.status == 200
    assert request("DELETE", f"{gate_1mb.url}{place}?recursive=true").status == 204
    assert request("GET", f"{front_1mb.filer.url}{place}/a").status == 404


@pytest.mark.parametrize("encryption", Encryption, ids=lambda e: e.title)
def test_metadata_is_the_filers(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    path = objects.get(front_1mb, encryption, Shape.MANY).path() + "?metadata=true"
    answer, wanted = request("GET", gate_1mb.url + path), request("GET", front_1mb.filer.url + path)
    assert answer.status == wanted.status == 200
    assert json.loads(answer.body) == without_keys(json.loads(wanted.body))


def without_keys(entry: dict) -> dict:
    """What the filer shows of an entry, without what could open it."""
    extended = {
        name: None if name.lower().startswith("x-seaweedfs-sse-") else value
        for name, value in (entry["Extended"] or {}).items()
    }
    chunks = [{**chunk, "sse_metadata": None} if "sse_metadata" in chunk else chunk for chunk in entry["chunks"]]
    return {**entry, "Extended": extended or entry["Extended"], "chunks": chunks}


def test_a_chunk_by_its_id(front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue) -> None:
    thing = objects.get(front_1mb, Encryption.NONE, Shape.MANY)
    chunks = front_1mb.chunks(thing.path())
    second = next(chunk for chunk in chunks if chunk.get("offset") == MIB)
    answer = request("GET", f"{gate_1mb.url}/?proxyChunkId={second['file_id']}")
    assert answer.status == 200
    assert answer.body == thing.content[MIB : 2 * MIB]


def test_tags(front_1mb: Front, gate_1mb: Tidegate, place: str) -> None:
    request("PUT", gate_1mb.url + place, body=b"tagged")
    assert request("PUT", f"{gate_1mb.url}{place}?tagging", {"Seaweed-Tide": "high"}).status == 202
    assert request("GET", gate_1mb.url + place).header("Seaweed-Tide") == "high"
    assert request("HEAD", front_1mb.filer.url + place).header("Seaweed-Tide") == "high"
    assert request("DELETE", f"{gate_1mb.url}{place}?tagging").status == 202
    assert request("HEAD", gate_1mb.url + place).header("Seaweed-Tide") == ""


def test_a_write_is_seen_by_the_next_read(front_1mb: Front, gate_1mb: Tidegate, place: str) -> None:
    for version in (b"first", b"second and longer", b"3"):
        request("PUT", gate_1mb.url + place, body=version)
        assert request("GET", gate_1mb.url + place).body == version
    for version in (b"behind", b"our back, twice"):
        request("PUT", front_1mb.filer.url + place, body=version)
        until(lambda: request("GET", gate_1mb.url + place).body == version, "the filer told of the write", 2)


def test_hop_by_hop_headers_end_here(front_1mb: Front, start_tidegate: StartTidegate, place: str) -> None:
    filer = front_1mb.filer
    seen = Behaviour(remember=True)
    relay = Relay(("127.0.0.1", 0), ("127.0.0.1", filer.port), seen)
    try:
        gate = start_tidegate(front_1mb, {"filer": {"addresses": [f"127.0.0.1:{relay.port}.{filer.grpc_port}"]}})
        seen.sent_by_clients.clear()
        sent = (
            f"PUT {place} HTTP/1.1\r\nHost: files.example\r\nContent-Length: 4\r\nConnection: close, X-Only-Here\r\n"
            "X-Only-Here: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nProxy-Authorization: Basic eDp5\r\n"
            "TE: trailers\r\nUpgrade: nothing\r\nSeaweed-Goes: on\r\n\r\nbody"
        )
        assert exchange(gate.listen, sent.encode()).startswith(b"HTTP/1.1 201")
    finally:
        relay.stop()
    upstream = bytes(seen.sent_by_clients).lower()
    assert f"put {place} http/1.1".lower().encode() in upstream
    assert b"seaweed-goes: on" in upstream
    for gone in (b"x-only-here", b"keep-alive:", b"proxy-connection", b"proxy-authorization", b"upgrade:"):
        assert gone not in upstream, gone


def test_a_filer_that_drops_the_line_is_a_bad_gateway(
    front_1mb: Front, start_tidegate: StartTidegate, place: str
) -> None:
    filer = front_1mb.filer
    line = Behaviour()
    relay = Relay(("127.0.0.1", 0), ("127.0.0.1", filer.port), line)
    try:
        gate = start_tidegate(front_1mb, {"filer": {"addresses": [f"127.0.0.1:{relay.port}.{filer.grpc_port}"]}})
        line.cut_after = 0
        answer = request("PUT", gate.url + place, body=b"no answer comes back")
    finally:
        relay.stop()
    assert answer.status in (502, 503, 504)
    json_error(answer)
