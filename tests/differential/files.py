"""The files that are compared: written by every way that SeaweedFS has, each once, when it is first asked for."""

import gzip
import json
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from filer_rpc import SYMLINK_MODE, FilerRpc, message
from harness import Cluster, CustomerKey, Encryption, Front, Payload, request
from harness.s3 import sse_arguments
from harness.weed import weed_binary

MIB = 1 << 20
BUCKET = "differential"
CUSTOMER_KEY = CustomerKey.from_seed("the key of the compared files")
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@dataclass(frozen=True)
class File:
    """A path that both sides are asked for.

    `plaintext` where the filer itself sends ciphertext; `edges` are the bytes at which something begins inside. A file
    with `parts_only` is too large to be read whole; one that is `relayed` the filer answers, faults and all.
    """

    target: str
    front: str = "plain"
    plaintext: bytes | None = None
    key_headers: tuple[tuple[str, str], ...] = ()
    edges: tuple[int, ...] = ()
    parts_only: bool = False
    relayed: bool = False
    encryption: str = ""


@dataclass
class Writer:
    """What writing takes: the fronts by name, and the filer's gRPC."""

    fronts: dict[str, Front]
    rpc: FilerRpc
    cluster: Cluster
    kms_key_id: str
    done: dict[str, File] = field(default_factory=dict)
    buckets: set[str] = field(default_factory=set)

    def get(self, kind: str) -> File:
        """The file of a kind."""
        if kind not in self.done:
            self.done[kind] = KINDS[kind](self, f"/kinds/{kind}")
        return self.done[kind]

    def url(self, path: str, front: str = "plain") -> str:
        """Where a path is at the filer."""
        return self.fronts[front].filer.url + path

    def put(self, path: str, content: bytes, front: str = "plain", mime: str = "", **headers: str) -> None:
        """Uploads a body as it is."""
        given = {"Content-Type": mime} if mime else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = request("PUT", self.url(path, front), given, content)
        assert answer.status == 201, (path, answer.status, answer.body)

    def chunk_ids(self, path: str) -> list[str]:
        """The needles of a file."""
        metadata = json.loads(request("GET", self.url(path) + "?metadata=true").body)
        return [chunk["file_id"] for chunk in metadata["chunks"]]

    def volume_of(self, fid: str) -> str:
        """The URL of the volume server that has a needle."""
        lookup = f"{self.cluster.master.url}/dir/lookup?volumeId={fid.split(',')[0]}"
        return "http://" + json.loads(request("GET", lookup).body)["locations"][0]["url"]

    def delete_needle(self, fid: str) -> int:
        """Deletes a needle at its volume server; gives the status."""
        return request("DELETE", f"{self.volume_of(fid)}/{fid}").status

    def needles(self, *sizes: int) -> list[bytes]:
        """Contents that differ from each other."""
        return [Payload(f"needle {index} of {sizes}", size).bytes() for index, size in enumerate(sizes)]

    def s3(self, kind: str, encryption: Encryption, *, parts: int = 0, size: int = 2 * MIB + 4321) -> File:
        """An object that the gateway wrote, by one PUT or in parts of 5 MiB and a smaller last one."""
        front = self.fronts["plain"]
        if BUCKET not in self.buckets:
            front.s3.create_bucket(BUCKET)
            self.buckets.add(BUCKET)
        arguments = sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=self.kms_key_id)
        edges: tuple[int, ...] = (MIB, 2 * MIB)
        if parts:
            contents = [Payload(f"{kind} {part}", 5 * MIB if part < parts - 1 else size).bytes() for part in range(parts)]
            front.s3.put_multipart(BUCKET, kind, contents, **arguments)
            content, edges = b"".join(contents), (MIB, 5 * MIB, 6 * MIB)
        else:
            content = Payload(kind, size).bytes()
            front.s3.put(BUCKET, kind, content, **arguments)
        return self.object(kind, encryption, content, edges)

    def object(self, key: str, encryption: Encryption, content: bytes, edges: tuple[int, ...] = ()) -> File:
        """An object as both are asked for it."""
        sse_c = encryption is Encryption.SSE_C
        return File(
            f"/buckets/{BUCKET}/{key}",
            plaintext=None if encryption is Encryption.NONE else content,
            key_headers=tuple(CUSTOMER_KEY.headers().items()) if sse_c else (),
            edges=edges,
            encryption="" if encryption is Encryption.NONE else encryption.value,
        )


Write = Callable[[Writer, str], File]
KINDS: dict[str, Write] = {}


def kind(name: str) -> Callable[[Write], Write]:
    """Names a way of writing a file."""

    def register(write: Write) -> Write:
        KINDS[name] = write
        return write

    return register


def text(size: int) -> bytes:
    """Something that compresses."""
    line = b"the quick brown fox jumps over the lazy dog, line %09d\n"
    return b"".join(line % number for number in range(size // 50 + 1))[:size]


# Uploads


@kind("empty")
def _(w: Writer, path: str) -> File:
    w.put(path, b"")
    return File(path)


@kind("one-byte")
def _(w: Writer, path: str) -> File:
    w.put(path, b"!")
    return File(path)


@kind("inline")
def _(w: Writer, path: str) -> File:
    w.put(path + ".json", b'{"small": true}' * 20, "inline")
    return File(path + ".json", "inline", edges=(100,))


@kind("inside-entry")
def _(w: Writer, path: str) -> File:
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nkept inside its entry\r\n--b--\r\n'
    assert request("POST", w.url(path) + "?saveInside=true", FORM, form).status == 201
    return File(path)


@kind("form")
def _(w: Writer, path: str) -> File:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.css"\r\nContent-Type: text/css\r\n\r\n'
    form = head + text(9000) + b"\r\n--b--\r\n"
    assert request("POST", w.url(path) + "/", FORM, form).status == 201
    return File(path + "/f.css")


@kind("one-chunk")
def _(w: Writer, path: str) -> File:
    w.put(path + ".bin", Payload(path, 70_001).bytes())
    return File(path + ".bin", edges=(4096, 65536))


@kind("many-chunks")
def _(w: Writer, path: str) -> File:
    w.put(path, Payload(path, 3 * MIB + 77).bytes(), mime="video/x-tide")
    return File(path, edges=(MIB, 2 * MIB, 3 * MIB))


@kind("whole-chunks")
def _(w: Writer, path: str) -> File:
    w.put(path, Payload(path, 2 * MIB).bytes())
    return File(path, edges=(MIB,))


@kind("compressed")
def _(w: Writer, path: str) -> File:
    w.put(path + ".txt", text(150_000))
    return File(path + ".txt", edges=(65536,))


@kind("compressed-chunks")
def _(w: Writer, path: str) -> File:
    w.put(path + ".html", text(2 * MIB + 555), mime="text/html; charset=utf-8")
    return File(path + ".html", edges=(MIB, 2 * MIB))


@kind("gzip-by-client")
def _(w: Writer, path: str) -> File:
    w.put(path, gzip.compress(text(50_000)), Content_Encoding="gzip")
    return File(path)


@kind("appended")
def _(w: Writer, path: str) -> File:
    w.put(path, Payload("first", 1000).bytes())
    for size in (2, 70_000):
        w.put(path + "?op=append", Payload(f"append {size}", size).bytes())
    return File(path, edges=(1000, 1002))


@kind("written-at-an-offset")
def _(w: Writer, path: str) -> File:
    w.put(path, Payload("base", 50_000).bytes())
    w.put(path + "?offset=20000", Payload("middle", 10_000).bytes())
    w.put(path + "?offset=60000", Payload("behind", 5_000).bytes())
    return File(path, edges=(20_000, 30_000, 50_000, 60_000))


@kind("replaced")
def _(w: Writer, path: str) -> File:
    w.put(path, Payload("old", 90_000).bytes())
    w.put(path, Payload("new", 1_200_000).bytes())
    return File(path, edges=(MIB,))


@kind("with-headers")
def _(w: Writer, path: str) -> File:
    w.put(
        path + ".png",
        Payload(path, 3000).bytes(),
        Seaweed_Owner="harbour",
        Seaweed_Depth="12 fathoms",
        Cache_Control="max-age=60",
        Content_Disposition='attachment; filename="chart.png"',
        Content_Language="nl",
        Expires="Thu, 01 Dec 2033 16:00:00 GMT",
    )
    return File(path + ".png")


@kind("with-content-encoding")
def _(w: Writer, path: str) -> File:
    w.rpc.create(path, [w.rpc.needle(Payload(path, 5000).bytes())], extended={"Content-Encoding": b"identity"})
    return File(path)


@kind("tagged")
def _(w: Writer, path: str) -> File:
    w.put(path, Payload(path, 3000).bytes())
    assert request("PUT", w.url(path) + "?tagging", {"Seaweed-Tide": "high"}).status == 202
    return File(path)


@kind("with-ttl")
def _(w: Writer, path: str) -> File:
    w.put(path + "?ttl=3h", Payload(path, 3000).bytes())
    return File(path)


# Entries made by hand


@kind("overlapping-chunks")
def _(w: Writer, path: str) -> File:
    a, b, c, d = w.needles(1000, 400, 300, 50)
    chunks = [
        w.rpc.needle(a, 0, 10),
        w.rpc.needle(b, 300, 30),
        w.rpc.needle(c, 600, 20),
        w.rpc.needle(d, 350, 5),
    ]
    w.rpc.create(path, chunks)
    return File(path, edges=(300, 350, 400, 600, 700, 900))


@kind("equal-times")
def _(w: Writer, path: str) -> File:
    """Two chunks of one time that overlap."""
    long, short = w.needles(1000, 400)
    w.rpc.create(path, [w.rpc.needle(long, 100, 5), w.rpc.needle(short, 0, 5)])
    return File(path, edges=(100, 400))


@kind("sparse-chunks")
def _(w: Writer, path: str) -> File:
    a, b = w.needles(5000, 7000)
    w.rpc.create(path, [w.rpc.needle(a, 10_000, 1), w.rpc.needle(b, 400_000, 2)], size=900_000, mime="image/x-holes")
    return File(path, edges=(10_000, 15_000, 400_000, 407_000))


@kind("all-hole")
def _(w: Writer, path: str) -> File:
    w.rpc.create(path, size=300_000)
    return File(path, edges=(65536,))


@kind("manifest")
def _(w: Writer, path: str) -> File:
    chunks = [w.rpc.needle(content, at * 3000, at + 1) for at, content in enumerate(w.needles(3000, 3000, 3000, 3000))]
    w.rpc.create(path, [w.rpc.manifest(chunks[:2]), w.rpc.manifest(chunks[2:])])
    return File(path, edges=(3000, 6000, 9000))


@kind("nested-manifest")
def _(w: Writer, path: str) -> File:
    contents = w.needles(2000, 2001, 2002, 2003, 2004)
    offsets = [sum(map(len, contents[:at])) for at in range(5)]
    chunks = [w.rpc.needle(content, offset, 1) for content, offset in zip(contents, offsets, strict=True)]
    inner = w.rpc.manifest(chunks[:2])
    outer = w.rpc.manifest([inner, w.rpc.manifest(chunks[2:4])])
    w.rpc.create(path, [outer, chunks[4], w.rpc.needle(b"over it", 1997, 9)], mime="text/plain")
    return File(path, edges=(1997, 2000, 2004, 4001, 6003, 8006))


@kind("chunk-used-twice")
def _(w: Writer, path: str) -> File:
    (a,) = w.needles(4000)
    chunk = w.rpc.needle(a)
    w.rpc.create(path, [chunk, chunk.at(6000, 2), chunk.at(9000, 3)])
    return File(path, edges=(4000, 6000, 9000))


@kind("five-gib-sparse")
def _(w: Writer, path: str) -> File:
    a, b = w.needles(100_000, 100_000)
    far = 4 * 1024 * MIB + 12_345
    w.rpc.create(path, [w.rpc.needle(a, 0, 1), w.rpc.needle(b, far, 2)], size=5 * 1024 * MIB)
    return File(path, edges=(100_000, 1 << 32, far, far + 100_000), parts_only=True)


@kind("compressed-unknown-to-the-entry")
def _(w: Writer, path: str) -> File:
    """The volume servers have compressed the chunks by themselves, of which the entry says nothing."""
    contents = text(90_000), text(2 * MIB)[90_000:], text(MIB + 77_777)[::-1]
    offsets = [sum(map(len, contents[:at])) for at in range(3)]
    chunks = [w.rpc.needle(content, offset, mime="text/plain") for content, offset in zip(contents, offsets, strict=True)]
    for chunk in chunks:
        stored = request("GET", f"{w.volume_of(chunk.fid)}/{chunk.fid}", {"Accept-Encoding": "gzip"})
        assert stored.header("Content-Encoding") == "gzip", "the volume server did not compress it"
    w.rpc.create(path, chunks)
    return File(path, edges=(90_000, MIB, 2 * MIB))


@kind("hard-link")
def _(w: Writer, path: str) -> File:
    chunk = w.rpc.needle(w.needles(6000)[0])
    link = uuid.uuid4().bytes + b"\x01"
    w.rpc.create(path + "-other", [chunk], hard_link=link)
    w.rpc.create(path, [chunk], hard_link=link)
    return File(path)


@kind("symlink")
def _(w: Writer, path: str) -> File:
    w.rpc.create(path, mode=SYMLINK_MODE, symlink="/kinds/one-byte")
    return File(path, relayed=True)


@kind("expired")
def _(w: Writer, path: str) -> File:
    w.rpc.create(path, [w.rpc.needle(b"gone by now")], ttl=60, age=3600)
    return File(path)


@kind("remote-only")
def _(w: Writer, path: str) -> File:
    remote = message((1, "nowhere"), (3, "abcdef"), (4, int(time.time())), (5, 12_345))
    w.rpc.create(path, size=12_345, remote=remote)
    return File(path, relayed=True)


@kind("attributes-that-are-odd")
def _(w: Writer, path: str) -> File:
    extended = {
        "xattr-user.note": b"inside",
        "X-Seaweedfs-Secret": b"inside",
        "x-amz-meta-colour": "grün".encode(),
        "Seaweed-Two": b"2",
        "Not A Header": b"no",
        "ETag": b'"not this one"',
        "Accept-Ranges": b"none",
    }
    w.rpc.create(path, [w.rpc.needle(Payload(path, 100).bytes())], extended=extended)
    return File(path)


# Sealed by the filer


@kind("sealed")
def _(w: Writer, path: str) -> File:
    w.put(path, Payload(path, 70_000).bytes(), "sealed")
    return File(path, "sealed", edges=(65536,))


@kind("sealed-chunks")
def _(w: Writer, path: str) -> File:
    w.put(path, Payload(path, 2 * MIB + 99).bytes(), "sealed")
    return File(path, "sealed", edges=(MIB, 2 * MIB))


@kind("sealed-text")
def _(w: Writer, path: str) -> File:
    w.put(path + ".txt", text(200_000), "sealed")
    return File(path + ".txt", "sealed", edges=(65536,))


# Erasure-coded


@kind("erasure-coded")
def _(w: Writer, path: str) -> File:
    front = w.fronts["plain"]
    w.put(path + "?collection=coded", Payload(path, 1_500_000).bytes())
    volume = w.chunk_ids(path)[0].split(",")[0]
    # By its id: the sizes that the master knows lag behind, and an empty volume is not encoded.
    shell = f"lock\nec.encode -collection=coded -volumeId={volume} -force\nunlock\n"
    command = [weed_binary(), "shell", f"-master={w.cluster.master.full_address}", f"-filer={front.filer.full_address}"]
    done = subprocess.run(command, input=shell, capture_output=True, text=True, timeout=90)
    listed = [f for f in (w.cluster.root / "volume0").iterdir() if f.name.startswith(f"coded_{volume}.")]
    assert any(".ec" in f.name for f in listed), (listed, done.stdout, done.stderr)
    return File(path, edges=(MIB,))


# S3


@kind("s3")
def _(w: Writer, path: str) -> File:
    return w.s3("s3", Encryption.NONE)


@kind("s3-multipart")
def _(w: Writer, path: str) -> File:
    return w.s3("s3-multipart", Encryption.NONE, parts=2)


for _encryption in (Encryption.SSE_C, Encryption.SSE_KMS, Encryption.SSE_S3):
    _name = f"sse-{_encryption.value}"
    kind(_name)(lambda w, path, e=_encryption: w.s3(f"sse-{e.value}", e))
    kind(f"{_name}-small")(lambda w, path, e=_encryption: w.s3(f"sse-{e.value}-small", e, size=777))
    kind(f"{_name}-empty")(lambda w, path, e=_encryption: w.s3(f"sse-{e.value}-empty", e, size=0))
    kind(f"{_name}-multipart")(lambda w, path, e=_encryption: w.s3(f"sse-{e.value}-multipart", e, parts=2))


@kind("s3-empty")
def _(w: Writer, path: str) -> File:
    return w.s3("s3-empty", Encryption.NONE, size=0)


@kind("s3-version")
def _(w: Writer, path: str) -> File:
    return _version(w, Encryption.NONE)


@kind("s3-version-encrypted")
def _(w: Writer, path: str) -> File:
    return _version(w, Encryption.SSE_S3)


def _version(w: Writer, encryption: Encryption) -> File:
    """The older of two versions, by the path that it has at the filer."""
    s3, bucket, key = w.fronts["plain"].s3, "versioned", f"key-{encryption.value}"
    if bucket not in w.buckets:
        s3.create_bucket(bucket)
        s3.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        w.buckets.add(bucket)
    arguments = sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=w.kms_key_id)
    content = Payload(key, 30_000).bytes()
    version = s3.client.put_object(Bucket=bucket, Key=key, Body=content, **arguments)["VersionId"]
    s3.put(bucket, key, b"a later version", **arguments)
    there = w.object(key, encryption, content)
    return File(f"/buckets/{bucket}/{key}.versions/v_{version}", plaintext=there.plaintext, encryption=there.encryption)


# Names


NAMES = {
    "space": "a b.txt",
    "percent": "100%.txt",
    "percent-escape": "a%41.txt",
    "question": "what?.txt",
    "hash": "no#1.txt",
    "plus": "a+b.txt",
    "unicode": "zeeën 日本 🌊.txt",
    "quotes": "it's \"so\".txt",
    "semicolon": "a;b=c&d.txt",
    "backslash": "a\\b.txt",
    "dots": "...",
    "no-extension": ".hidden",
    "upper-extension": "A.JPG",
    "long": "n" * 251 + ".txt",
    "pipe-and-angles": "<a>|b^`c`{d}.txt",
}

for _label, _odd in NAMES.items():

    @kind(f"name-{_label}")
    def _(w: Writer, path: str, odd: str = _odd) -> File:
        target = "/names/" + quote(odd, safe="")
        w.put(target, Payload(odd, 2500).bytes())
        return File(target)


# What is no file


@kind("directory")
def _(w: Writer, path: str) -> File:
    for name in ("a", "b", "c"):
        w.put(f"{path}/{name}", name.encode())
    return File(path)


@kind("directory-with-slash")
def _(w: Writer, path: str) -> File:
    return File(w.get("directory").target + "/")


@kind("file-with-slash")
def _(w: Writer, path: str) -> File:
    return File(w.get("one-chunk").target + "/", edges=(4096,))


@kind("missing")
def _(w: Writer, path: str) -> File:
    return File(path)


@kind("below-a-file")
def _(w: Writer, path: str) -> File:
    return File(w.get("one-byte").target + "/child")


@kind("deleted")
def _(w: Writer, path: str) -> File:
    w.put(path, b"not for long")
    assert request("DELETE", w.url(path)).status == 204
    return File(path)
