"""What of `[s3]` is refused, and how hosts are read that have a domain's name."""

import http.client
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import StartTidegate
from harness import Front, Tidegate, weed
from harness.authority import Authority
from harness.tidegate import run
from waiting import until

SERVER = '[server]\nlisten = "127.0.0.1:8880"\nadmin = "127.0.0.1:8881"\n'
LISTEN = 'listen = "127.0.0.1:8870"\n'
GATEWAY = 'gateway = ["http://127.0.0.1:8333"]\n'
BAD = {
    "no gateway": (LISTEN, "s3.gateway"),
    "an empty list": (LISTEN + "gateway = []\n", "s3.gateway"),
    "nowhere to listen": (GATEWAY, "s3.listen"),
    "two schemes": (LISTEN + 'gateway = ["http://127.0.0.1:8333", "https://127.0.0.1:8334"]\n', "s3.gateway"),
    "no scheme": (LISTEN + 'gateway = ["127.0.0.1:8333"]\n', "s3.gateway"),
    "no port": (LISTEN + 'gateway = ["http://127.0.0.1"]\n', "s3.gateway"),
    "a path": (LISTEN + 'gateway = ["http://127.0.0.1:8333/x"]\n', "s3.gateway"),
    "one gateway twice": (LISTEN + 'gateway = ["http://a:1", "http://a:1"]\n', "s3.gateway"),
    "TLS there only": (LISTEN + 'gateway = ["https://127.0.0.1:8333"]\n', "server.tls_cert"),
    "the filer front's address": (LISTEN.replace("8870", "8880") + GATEWAY, "server.listen"),
    "the admin's address": (LISTEN.replace("8870", "8881") + GATEWAY, "server.admin"),
    "a domain with a port": (LISTEN + GATEWAY + 'domains = ["s3.example.org:80"]\n', "s3.domains"),
    "a domain in capitals": (LISTEN + GATEWAY + 'domains = ["S3.example.org"]\n', "s3.domains"),
    "a domain that is an address": (LISTEN + GATEWAY + 'domains = ["127.0.0.1"]\n', "s3.domains"),
    "an authority for nothing": (LISTEN + GATEWAY + 'gateway_ca = "/ca.pem"\n', "s3.gateway_ca"),
    "an unknown key": (LISTEN + GATEWAY + 'gateways = "x"\n', "s3.gateways"),
}


def refused(path: Path, *named: str) -> None:
    """In one line that names all of `named`."""
    for command in ("check", None):
        done = run(*([command] if command else []), "--config", path)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done
        for word in (*named, path.name):
            assert word in done.stderr, f"{word} is not in: {done.stderr}"


@pytest.mark.parametrize(("text", "named"), BAD.values(), ids=list(BAD))
def test_a_table_that_cannot_work_is_refused_in_one_line(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "tidegate.toml"
    path.write_text(f"{SERVER}[s3]\n{text}")
    refused(path, named)


def test_a_front_with_tls_needs_gateways_with_tls(tmp_path: Path, authority: Authority) -> None:
    """A policy that asks whether the connection was secure would be told that none is, or that all are."""
    certificate, key = authority.issue("front")
    path = tmp_path / "tidegate.toml"
    path.write_text(f'{SERVER}tls_cert = "{certificate}"\ntls_key = "{key}"\n[s3]\n{LISTEN}{GATEWAY}')
    refused(path, "s3.gateway", "https://", "server.tls_cert")


DOMAIN = "s3.example.org"
NESTED = f"files.{DOMAIN}"
OBJECT = b"y" * (2 << 20)


@pytest.fixture(scope="module")
def named(front_1mb: Front, root: Path) -> Iterator[weed.WeedServer]:
    """A gateway on the filer of `front_1mb` that has two domains, of which one is below the other."""
    iam = {"identities": [{"name": "anonymous", "actions": ["Read"]}]}
    options = {"domainName": f"{DOMAIN},{NESTED}"}
    with ExitStack() as stack:
        gateway = weed.s3(root, "s3-named", front_1mb.filer.full_address, iam, options, {})
        stack.callback(gateway.stop)
        gateway.start()
        gateway.wait_ready(lambda: weed.answers(gateway.url + "/healthz"))
        for bucket in ("files", "the-bucket"):
            front_1mb.s3.create_bucket(bucket)
            front_1mb.s3.client.put_object(Bucket=bucket, Key="the-bucket/key", Body=OBJECT + bucket.encode())
            front_1mb.s3.client.put_object(Bucket=bucket, Key="key", Body=OBJECT + b"of " + bucket.encode())
        yield gateway


@pytest.fixture(scope="module")
def gate_named(front_1mb: Front, named: weed.WeedServer, start_shared: StartTidegate) -> Tidegate:
    """A tidegate before that gateway, which knows of one of its domains."""
    return start_shared(front_1mb, {"s3": {"gateway": [named.url], "domains": [DOMAIN]}})


def ask(gate: Tidegate, host: str, path: str) -> tuple[int, bytes]:
    """Status and end of the body of a GET that nobody signed."""
    address, _, port = gate.s3_listen.rpartition(":")
    connection = http.client.HTTPConnection(address, int(port), timeout=10)
    try:
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()[len(OBJECT) :]
    finally:
        connection.close()


def served(gate: Tidegate) -> float:
    """How many reads were served here."""
    return gate.metrics().sum("tidegate_s3_served_total")


@pytest.mark.parametrize(
    ("host", "path", "body", "here"),
    [
        (f"the-bucket.{DOMAIN}", "/key", b"of the-bucket", True),
        (f"the-bucket.{DOMAIN}:8870", "/the-bucket/key", b"the-bucket", True),
        (DOMAIN, "/the-bucket/key", b"of the-bucket", True),
        ("127.0.0.1:8870", "/the-bucket/key", b"of the-bucket", True),
        ("[::1]:8870", "/the-bucket/key", b"of the-bucket", True),
        # For the gateway a domain of its own, though its name could be a bucket's below the other one.
        (NESTED, "/the-bucket/key", b"of the-bucket", False),
        # Names that we were not told of are read by the gateway, in its way.
        ("elsewhere.example.org", "/the-bucket/key", b"of the-bucket", False),
        (f"the-bucket.{DOMAIN.upper()}", "/the-bucket/key", b"of the-bucket", False),
    ],
)
def test_a_host_is_read_as_the_gateway_reads_it(
    gate_named: Tidegate, host: str, path: str, body: bytes, here: bool
) -> None:
    before = served(gate_named)
    for _ in range(2):
        assert ask(gate_named, host, path) == (200, body)
    assert served(gate_named) - before == (2 if here else 0)


def test_a_domain_that_one_gateway_does_not_have_is_not_served(
    front_1mb: Front, named: weed.WeedServer, start_tidegate: StartTidegate
) -> None:
    """Of two gateways one has no domains: to it the host means nothing, and the bucket is in the path."""
    gate = start_tidegate(front_1mb, {"s3": {"gateway": [named.url, front_1mb.gateway.url], "domains": [DOMAIN]}})
    until(lambda: "s3.domains" in gate.log.read_text(), "the operator is told")
    assert ask(gate, f"the-bucket.{DOMAIN}", "/key") == (200, b"of the-bucket")
    assert served(gate) == 0
    assert ask(gate, DOMAIN, "/the-bucket/key") == (200, b"of the-bucket")
    assert served(gate) == 1
