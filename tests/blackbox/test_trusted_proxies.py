"""Where clients are, as proxies in front of tidegate tell: who is believed, on both fronts, and what the cluster is told."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import StartTidegate, make_starter
from harness import Front, Tidegate, weed
from harness.authority import Authority
from harness.passing import Passing
from harness.relay import Behaviour, Relay
from harness.tidegate import merged, run
from waiting import until

PROXY = "127.0.0.2"
"""An address that is trusted."""
INNER = "127.0.0.3"
"""Another one."""
CLIENT = "127.0.0.9"
"""One that is not."""
TRUSTED = {"server": {"trusted_proxies": [PROXY, f"{INNER}/32", "10.0.0.0/8"]}, "log": {"level": "debug"}}
PROXIED = {"server": {"trusted_proxies": [PROXY], "proxy_protocol": "required"}, "s3": {"proxy_protocol": "required"}}
SECRET = "/etc/nobody/reads/this"


def line_from(source: str, address: str) -> socket.socket:
    """A connection to `address` from another one of this machine."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10, source_address=(source, 0))


def said(line: socket.socket, sent: bytes) -> bytes:
    """All that is answered until the connection ends."""
    try:
        line.sendall(sent)
        return b"".join(iter(lambda: line.recv(1 << 16), b""))
    except ConnectionError:
        return b""


def get(path: str, *headers: str) -> bytes:
    """A request that is the last one of its connection."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", "Connection: close", *headers, "", ""]).encode()


def version_1(source: str) -> bytes:
    """The header of the PROXY protocol that names `source`."""
    return f"PROXY TCP4 {source} 127.0.0.1 4321 80\r\n".encode()


def version_2(source: str, more: bytes = b"") -> bytes:
    """The same in version 2, with fields behind the addresses."""
    addresses = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", 4321, 80)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", len(addresses) + len(more)) + addresses + more


def noted_peer(gate: Tidegate, source: str, *headers: str, before: bytes = b"") -> str:
    """Whom the log names for a request that is refused."""
    begin = len(gate.log.read_text())
    with line_from(source, gate.listen) as line:
        assert said(line, before + get(SECRET, *headers)).startswith(b"HTTP/1.1 403 ")

    def noted() -> list[str]:
        return [each for each in gate.log.read_text()[begin:].splitlines() if SECRET in each]

    until(lambda: bool(noted()), "the refusal is logged")
    return noted()[0].split("peer=")[1].split()[0]


@pytest.mark.parametrize(
    ("source", "headers", "expected"),
    [
        (PROXY, ["X-Forwarded-For: 192.0.2.7"], "192.0.2.7"),
        (PROXY, ["X-Forwarded-For: 203.0.113.1, 192.0.2.7"], "192.0.2.7"),
        (PROXY, [f"X-Forwarded-For: 203.0.113.1, 192.0.2.7, 10.1.2.3, {INNER}"], "192.0.2.7"),
        (PROXY, ["X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 2001:db8::7"], "2001:db8::7"),
        (PROXY, [], PROXY),
        (PROXY, ["X-Forwarded-For: who knows"], PROXY),
        (PROXY, ["X-Forwarded-For: 192.0.2.7, who knows"], PROXY),
        (PROXY, ["X-Real-IP: 192.0.2.7", "Forwarded: for=192.0.2.7"], PROXY),
        (CLIENT, ["X-Forwarded-For: 192.0.2.7"], CLIENT),
        (CLIENT, [f"X-Forwarded-For: 192.0.2.7, {PROXY}"], CLIENT),
        (CLIENT, [], CLIENT),
    ],
)
def test_a_client_is_where_trusted_proxies_say(
    source: str, headers: list[str], expected: str, front_1mb: Front, behind: Tidegate
) -> None:
    assert noted_peer(behind, source, *headers) == expected


@pytest.fixture(scope="module")
def behind(front_1mb: Front, root: Path) -> Iterator[Tidegate]:
    """A tidegate that believes some proxies."""
    with ExitStack() as stack:
        yield make_starter(root, stack, "trusting-")(front_1mb, TRUSTED)


def test_the_filer_is_told_by_whom_each_was_asked(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    """And not who the client is taken for: that stands in the header already."""
    behaviour = Behaviour(remember=True)
    relay = Relay.before(front_1mb.filer.address, behaviour)
    try:
        grpc = front_1mb.filer.full_address.rpartition(".")[2]
        gate = start_tidegate(front_1mb, {**TRUSTED, "filer": {"addresses": [f"127.0.0.1:{relay.port}.{grpc}"]}})
        with line_from(PROXY, gate.listen) as line:
            written = get("/proxied/a", "X-Forwarded-For: 203.0.113.1, 192.0.2.7", "Content-Length: 1") + b"a"
            assert said(line, written.replace(b"GET", b"PUT")).startswith(b"HTTP/1.1 201 ")
        sent = bytes(behaviour.sent_by_clients).lower()
        assert b"x-forwarded-for: 203.0.113.1, 192.0.2.7, 127.0.0.2\r\n" in sent
    finally:
        relay.stop()


@pytest.mark.parametrize("header", [version_1, version_2, lambda source: version_2(source, b"\xea\x05\xdc" + b"7" * 1500)])
def test_a_header_of_the_proxy_protocol_says_whom_a_connection_comes_from(
    header: object, front_1mb: Front, start_tidegate: StartTidegate
) -> None:
    gate = start_tidegate(front_1mb, {"server": PROXIED["server"], "log": {"level": "debug"}})
    assert noted_peer(gate, PROXY, before=header("192.0.2.7")) == "192.0.2.7"
    # Whom the proxy names is no proxy: what it writes in a header is its own.
    assert noted_peer(gate, PROXY, "X-Forwarded-For: 203.0.113.1", before=header("192.0.2.7")) == "192.0.2.7"
    assert noted_peer(gate, PROXY, "X-Forwarded-For: 203.0.113.1", before=header(PROXY)) == "203.0.113.1"
    assert noted_peer(gate, PROXY, before=b"PROXY UNKNOWN\r\n") == PROXY


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2", ""])
def test_haproxy_in_front(send: str, front_1mb: Front, start_tidegate: StartTidegate, tmp_path: Path) -> None:
    server: dict[str, object] = {"trusted_proxies": ["127.0.0.1"], "proxy_protocol": "required" if send else "off"}
    gate = start_tidegate(front_1mb, {"server": server, "log": {"level": "debug"}})
    proxy = Passing(tmp_path / "proxy", gate.listen, send)
    try:
        proxy.start()
        begin = len(gate.log.read_text())
        with line_from(CLIENT, f"127.0.0.1:{proxy.port}") as line:
            assert said(line, get(SECRET, "X-Forwarded-For: 203.0.113.1")).startswith(b"HTTP/1.1 403 ")
        until(lambda: f"peer={CLIENT}" in gate.log.read_text()[begin:], "the refusal is logged")
    finally:
        proxy.stop(1.0)


def test_without_such_a_header_of_a_trusted_proxy_nothing_is_answered(
    front_1mb: Front, start_tidegate: StartTidegate
) -> None:
    gate = start_tidegate(front_1mb, {"server": {**PROXIED["server"], "header_timeout": "2s"}})
    refused = [
        (CLIENT, version_1("192.0.2.7") + get("/")),
        (CLIENT, get("/")),
        (PROXY, get("/")),
        (PROXY, b"PROXY TCP4 nobody nobody 1 1\r\n" + get("/")),
        (PROXY, b"PROXY UNKNOWN " + b"x" * 10_000),
        (PROXY, version_2("192.0.2.7", b"\xea\x1f\x40" + b"7" * 8000)),
        (PROXY, b"PROXY TCP4 "),
    ]
    for source, sent in refused:
        with line_from(source, gate.listen) as line:
            assert said(line, sent) == b"", (source, sent[:40])
    assert gate.metrics().sum("tidegate_connections_refused_total", reason="proxy_header") == len(refused)
    with line_from(PROXY, gate.listen) as line:
        assert said(line, version_1("192.0.2.7") + get("/")).startswith(b"HTTP/1.1 200 ")


def test_the_header_stands_before_tls(front_1mb: Front, authority: Authority, start_tidegate: StartTidegate) -> None:
    cert, key = map(str, authority.issue("behind-a-proxy"))
    server = {**PROXIED["server"], "tls_cert": cert, "tls_key": key}
    gate = start_tidegate(front_1mb, {"server": server, "log": {"level": "debug"}})
    begin = len(gate.log.read_text())
    with line_from(PROXY, gate.listen) as line:
        line.sendall(version_2("192.0.2.7"))
        with authority.client().wrap_socket(line, server_hostname="localhost") as inside:
            assert said(inside, get(SECRET)).startswith(b"HTTP/1.1 403 ")
    until(lambda: "peer=192.0.2.7" in gate.log.read_text()[begin:], "the refusal is logged")


def test_the_s3_gateway_is_told_whom_the_header_names(
    front_1mb: Front, root: Path, start_tidegate: StartTidegate
) -> None:
    """A policy that asks for `aws:SourceIp` holds for clients behind a proxy of connections."""
    told = {"WEED_S3_TRUSTED_PROXIES_WHITE_LIST": "127.0.0.1"}
    iam = {"identities": [{"name": "admin", "credentials": [], "actions": ["Admin"]}]}
    with ExitStack() as stack:
        gateway = weed.s3(root, "s3-behind-a-proxy", front_1mb.filer.full_address, iam, {}, told)
        stack.callback(gateway.stop)
        gateway.start()
        gateway.wait_ready(lambda: weed.answers(gateway.url + "/healthz"))
        gate = start_tidegate(front_1mb, {**PROXIED, "s3": {**PROXIED["s3"], "gateway": [gateway.url]}})
        s3, bucket = front_1mb.s3.client, "behind-a-proxy"
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="k", Body=b"x" * (2 << 20))
        statement = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
            "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.7/32"}},
        }
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

        def status(source: str, *headers: str) -> bytes:
            with line_from(PROXY, gate.s3_listen) as line:
                return said(line, version_1(source) + get(f"/{bucket}/k", *headers)).split(b" ", 2)[1]

        until(lambda: status("192.0.2.7") == b"200", "the gateway knows of the policy")
        assert status("192.0.2.8") == b"403"
        assert status("192.0.2.8", "X-Forwarded-For: 192.0.2.7") == b"403"
        with line_from(CLIENT, gate.s3_listen) as line:
            assert said(line, version_1("192.0.2.7") + get(f"/{bucket}/k")) == b""


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"server": {"trusted_proxies": ["proxy.example.org"]}}, "server.trusted_proxies"),
        ({"server": {"trusted_proxies": ["10.0.0.0/33"]}}, "server.trusted_proxies"),
        ({"server": {"proxy_protocol": "required"}}, "must name a proxy, because"),
        ({"s3": {"gateway": ["http://127.0.0.1:1"], "proxy_protocol": "required"}}, "must name a proxy, because"),
        ({"server": {"proxy_protocol": "optional"}}, "server.proxy_protocol"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    change: dict[str, dict[str, object]], line: str, front_1mb: Front, tmp_path: Path
) -> None:
    gate = Tidegate(tmp_path, merged(front_1mb.tidegate_config(), change), name="refused")
    done = run("check", "--config", gate.config_file)
    assert done.returncode == 2
    assert line in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
