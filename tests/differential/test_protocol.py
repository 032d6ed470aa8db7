"""What is about the connection, the path and the query more than about a file: each sent to both sides as it stands."""

import json
import socket

import pytest
from compare import OF_THE_CONNECTION, Pair, described
from differences import presented_alike
from files import Writer
from harness import Front, Tidegate
from harness.line import Reply, Request, read_reply

ODD_PATHS = [
    "//kinds//one-chunk.bin",
    "/kinds/./one-chunk.bin",
    "/x/../kinds/one-chunk.bin",
    "/../kinds/one-chunk.bin",
    "/kinds/one-chunk.bin/.",
    "/kinds/one-chunk.bin//",
    "/kinds%2Fone-chunk.bin",
    "/%6binds/one-chunk.bin",
    "/kinds/one%2Dchunk.bin",
    "/kinds/%2e%2e/kinds/one-chunk.bin",
    "/%2e%2e/kinds/one-chunk.bin",
    "/kinds/x%2F..%2Fone-chunk.bin",
    "/kinds/{/%2e%2e/one-chunk.bin",
    "/kinds/{%2F..%2Fone-chunk.bin",
    '/"/..%2f%2Fkinds/%2e/one-chunk.bin',
    "/kinds/|/%252e%252e/one-chunk.bin",
    "/kinds/^/%2e%2e/one-chunk.bin%2F",
    "/kinds/'[!$&()*+,;=:@]/%2e%2e/one-chunk.bin",
    "/seaweedfsstatic/{/%2e%2e/%2e%2e/kinds/one-chunk.bin",
    "/seaweedfsstatic/%2e%2e/kinds/one-chunk.bin",
    "/{/%2e%2e/kinds/",
    "/kinds/one-chunk.bin%2F",
    "/kinds/one-chunk.bin%2F%2F",
    "/kinds/one-chunk.bin%00",
    "/kinds/one-chunk.bin%20",
    "/kinds/one-chunk.bin%252F",
    "/kinds/%25%36%31",
    "/kinds/%ff",
    "/kinds/%zz",
    "/kinds/%",
    "/kinds/one-chunk.bin;x=1",
    "/kinds/one-chunk.bin?",
    "/kinds/one-chunk.bin??a",
    "/kinds/one-chunk.bin?a=/../..",
    "/kinds/",
    "/kinds",
    "/",
    "//",
    "/.",
    "/..",
    "/kinds/..",
    "/favicon.ico",
    "/healthz",
]


def both(pair: Pair, request: Request) -> tuple[Reply, Reply]:
    """The filer's answer and ours, without what the list names for every answer."""
    return tuple(presented_alike(line.ask(request), OF_THE_CONNECTION) for line in (pair.filer, pair.gate))  # type: ignore[return-value]


def same(pair: Pair, request: Request) -> Reply:
    """Asserts that both answer alike; gives the answer."""
    wanted, got = both(pair, request)
    what = described(wanted, got)
    assert not what, f"{request}\n  {what}"
    return got


@pytest.fixture
def pair(pairs: dict[str, Pair], writer: Writer) -> Pair:
    """Filer and tidegate, with a file that the paths lead to."""
    writer.get("one-chunk")
    return pairs["plain"]


@pytest.mark.parametrize("path", ODD_PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_odd_paths(pair: Pair, path: str, method: str) -> None:
    headers = (("Range", "bytes=4090-4100"), ("Accept", "application/json"))
    wanted, got = both(pair, Request(path, method, headers))
    if is_listing(wanted):
        wanted, got = timeless(wanted), timeless(got)
    assert not (what := described(wanted, got)), what


def is_listing(reply: Reply) -> bool:
    """Whether a directory's entries were answered."""
    return b'"Entries"' in reply.body


def timeless(reply: Reply) -> Reply:
    """A listing as what it lists: access times may change from one to the next."""
    page = json.loads(reply.body)
    names = [entry["FullPath"] for entry in page["Entries"] or []]
    return Reply(reply.status, {}, json.dumps([names, page["Path"], page["LastFileName"]]).encode())


def test_a_path_never_leads_past_a_rule(pair: Pair, writer: Writer) -> None:
    """However an encrypted object is spelled, nobody gets what is stored in its place."""
    file = writer.get("sse-s3-small")
    for path in (
        file.target,
        file.target.replace("/buckets", "//buckets"),
        file.target.replace("/buckets", "/x/../buckets"),
        file.target.replace("/buckets", "/%62uckets"),
        file.target.replace("/buckets/", "/buckets%2F"),
        file.target + "/",
        file.target + "?proxyChunkId=3,01637037d6",
        file.target + "?metadata=false&metadata=true",
        # Found by the filer, whose router decodes first what its own rules would have escaped.
        file.target.replace("/buckets", "/{/%2e%2e/buckets"),
        file.target.replace("/buckets", "/|%2f..%2fbuckets"),
        file.target.replace("/buckets", "/seaweedfsstatic/{/%2e%2e/%2e%2e/buckets"),
    ):
        reply = pair.gate.ask(Request(path))
        assert (reply.status, reply.body) == (200, file.plaintext), path
    for path in (
        file.target.replace("/buckets", "/%2e%2e/buckets"),
        file.target.replace("/buckets/", "/buckets/%2e/"),
        file.target.replace("/buckets/", "/buckets%2F%2F"),
    ):
        stored = pair.filer.ask(Request(path))
        reply = pair.gate.ask(Request(path))
        assert reply.status == stored.status == 404, path


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods(pair: Pair, method: str) -> None:
    for headers in ((), (("Origin", "https://harbour.example"), ("Access-Control-Request-Method", "GET"))):
        same(pair, Request("/kinds/one-chunk.bin", method, headers))


@pytest.mark.parametrize(
    "chunk",
    ["3", "x", "3,", "3,zz", "3,01637037d6/../../status", "3,x/../../status", "3,01637037d6_1/../../status", "-1,01637037d6"],
)
def test_what_is_no_chunk_is_refused(pair: Pair, chunk: str) -> None:
    wanted, got = both(pair, Request(f"/?proxyChunkId={chunk}"))
    assert wanted.status == got.status == 400


def test_a_chunk_comes_as_it_is_stored(pair: Pair, writer: Writer) -> None:
    fid = writer.chunk_ids("/kinds/one-chunk.bin")[0]
    for query in (fid, fid + "&jwt=x", fid.replace(",", "%2C"), fid + "&readDeleted=true"):
        for method in ("GET", "HEAD"):
            reply = same(pair, Request(f"/?proxyChunkId={query}", method, (("Range", "bytes=10-19"),)))
            assert reply.status == 206 or method == "HEAD"


def test_a_directory_as_a_page(pair: Pair, writer: Writer) -> None:
    target = writer.get("directory").target
    reply = pair.gate.ask(Request(target + "/", headers=(("Accept", "text/html"),)))
    assert reply.status == 200 and b"<html" in reply.body.lower()


def test_tags(pair: Pair, writer: Writer) -> None:
    target = writer.get("tagged").target
    assert pair.gate.ask(Request(target + "?tagging", "PUT", (("Seaweed-Wind", "west"),))).status == 202
    assert same(pair, Request(target)).header("seaweed-wind") == "west"
    assert pair.gate.ask(Request(target + "?tagging=Wind", "DELETE")).status == 202
    assert same(pair, Request(target)).header("seaweed-wind") == ""


@pytest.mark.parametrize("size", [1_000, 60_000, 200_000, 2_000_000])
def test_huge_headers(pair: Pair, size: int) -> None:
    """To the filer's limit of 1 MiB it is a read; beyond it both refuse, or close."""
    request = Request("/kinds/one-chunk.bin", headers=(("X-Huge", "h" * size), ("Range", "bytes=0-9")))
    wanted, got = pair.filer.ask(request), pair.gate.ask(request)
    if size <= 60_000:
        assert got.status == wanted.status == 206
    else:
        assert got.status in (0, 206, 400, 431)


# The connection


def sent(address: str, raw: bytes, answers: list[str]) -> list[Reply]:
    """Sends all at once and reads as many answers as there are methods."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(raw)
        stream = connection.makefile("rb")

        class Kept:
            """The buffered stream in the place of a socket, so that nothing is lost between two answers."""

            def makefile(self, *_: object) -> object:
                return Unclosed(stream)

        return [read_reply(Kept(), method)[0] for method in answers]  # type: ignore[arg-type]


class Unclosed:
    """A stream that outlives its reader."""

    def __init__(self, stream: object) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return (lambda: None) if name == "close" else getattr(self._stream, name)


def test_pipelined_requests_are_answered_in_order(pair: Pair, writer: Writer) -> None:
    targets = ["/kinds/one-chunk.bin", writer.get("many-chunks").target, "/kinds/none", writer.get("one-byte").target]
    raw = b"".join(Request(target).wire("h") for target in targets)
    wanted = sent(pair.filer.address, raw, ["GET"] * 4)
    got = sent(pair.gate.address, raw, ["GET"] * 4)
    assert [(reply.status, reply.body) for reply in got] == [(reply.status, reply.body) for reply in wanted]


def test_a_pipelined_body_does_not_become_a_request(pair: Pair, writer: Writer) -> None:
    raw = Request("/kinds/one-chunk.bin", body=b"GET /kinds/none HTTP/1.1\r\n\r\n").wire("h")
    raw += Request(writer.get("one-byte").target).wire("h")
    assert [reply.status for reply in sent(pair.gate.address, raw, ["GET", "GET"])] == [200, 200]


@pytest.mark.parametrize("header", ["", "Connection: keep-alive\r\n"])
def test_http_1_0(pair: Pair, header: str) -> None:
    raw = f"GET /kinds/one-chunk.bin HTTP/1.0\r\nRange: bytes=4000-5000\r\n{header}\r\n".encode()
    (wanted,), (got,) = sent(pair.filer.address, raw, ["GET"]), sent(pair.gate.address, raw, ["GET"])
    assert (got.status, got.body) == (wanted.status, wanted.body)
    assert got.header("connection").lower() == wanted.header("connection").lower()
    assert "transfer-encoding" not in got.headers


def test_http_1_1_without_a_host(pair: Pair) -> None:
    raw = b"GET /kinds/one-chunk.bin HTTP/1.1\r\nConnection: close\r\n\r\n"
    (wanted,) = sent(pair.filer.address, raw, ["GET"])
    assert wanted.status == 400


def test_an_absolute_target(pair: Pair) -> None:
    raw = b"GET http://files.example/kinds/one-chunk.bin HTTP/1.1\r\nHost: files.example\r\nRange: bytes=1-5\r\n\r\n"
    (wanted,), (got,) = sent(pair.filer.address, raw, ["GET"]), sent(pair.gate.address, raw, ["GET"])
    assert (got.status, got.body) == (wanted.status, wanted.body)


# Origins


def test_origins_as_the_filer_has_them(
    fronts_with_origins: tuple[Front, Tidegate], writer: Writer
) -> None:
    front, gate = fronts_with_origins
    pair = Pair(front.filer.address, gate.listen)
    try:
        assert pair.filer.ask(Request("/file.txt", "PUT", body=b"for some")).status == 201
        for origin in ("https://a.example", "https://b.example", "https://c.example", "null"):
            for method, target in (("GET", "/file.txt"), ("HEAD", "/file.txt"), ("OPTIONS", "/file.txt"), ("GET", "/none")):
                wanted, got = both(pair, Request(target, method, (("Origin", origin),)))
                assert got.status == wanted.status, (method, target, origin)
                cors = [name for name in wanted.headers if name.startswith("access-control-")]
                assert {n: got.headers.get(n) for n in cors} == {n: wanted.headers[n] for n in cors}, (method, target, origin)
                if wanted.status == 403 and method == "GET":
                    assert json.loads(got.body)["error"] == json.loads(wanted.body)["error"]
    finally:
        pair.close()
