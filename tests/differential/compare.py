"""One request to both sides, and whether the answers are the same but for the list of differences."""

import differences
from differences import Known
from files import File
from harness.line import Line, Reply, Request

# The connection's and the clock's, not the answer's.
OF_THE_CONNECTION = ("date", "connection", "keep-alive", "transfer-encoding")


# What tidegate's own answers are already: they must be so by themselves.
OURS_ALREADY = {"length-of-encoded-parts", "type-of-parts", "order-of-exposed-headers", "redacted-metadata", "no-shared-caches"}


class Pair:
    """The filer and the tidegate in front of it."""

    def __init__(self, filer: str, gate: str) -> None:
        self.filer = Line(filer)
        self.gate = Line(gate)
        self.compared = 0

    def known(self, file: File) -> Known:
        """What the filer says of a file."""
        plain = self.filer.ask(Request(file.target, "HEAD"))
        return Known(
            file=file,
            size=int(plain.header("content-length") or 0),
            etag=plain.header("etag"),
            modified=plain.header("last-modified"),
            content_type=plain.header("content-type"),
            recorded_type="" if plain.header("content-type") == "application/octet-stream" else "known",
            is_file=not file.relayed and plain.status == 200 and bool(plain.header("accept-ranges")),
        )

    def difference(self, request: Request, known: Known) -> str:
        """What differs beyond the list; "" if nothing does."""
        self.compared += 1
        wanted = expected(self.filer, request, known)
        got = presented(request, known, self.gate.ask(request), ours=True)
        return described(wanted, got)

    def close(self) -> None:
        """Closes both connections."""
        self.filer.close()
        self.gate.close()


def expected(filer: Line, request: Request, known: Known) -> Reply:
    """What tidegate shall answer, by the filer's word and the list."""
    repaired = request
    for difference in differences.ALL:
        if difference.repair and known.is_file and "metadata=true" not in request.target:
            repaired = difference.repair(repaired, known)
    return presented(request, known, filer.ask(repaired), ours=False)


def presented(request: Request, known: Known, reply: Reply, *, ours: bool) -> Reply:
    """An answer as it is compared. Ours too is freed from what is random or our own."""
    ours = ours and not known.file.relayed
    reply = differences.without(reply, *OF_THE_CONNECTION)
    for difference in differences.ALL:
        if difference.present and not (ours and difference.name in OURS_ALREADY):
            if ours and difference.name == "decrypted":
                echo = [name for name in reply.headers if name.startswith("x-amz-server-side-encryption")]
                reply = reply if known.file.plaintext is None else differences.without(reply, *echo)
                continue
            reply = difference.present(request, known, reply)
    return reply


def described(wanted: Reply, got: Reply) -> str:
    """The differences in words."""
    lines = []
    if wanted.status != got.status:
        lines.append(f"status {got.status}, the filer {wanted.status}")
    for name in sorted(wanted.headers.keys() | got.headers.keys()):
        ours, theirs = got.headers.get(name), wanted.headers.get(name)
        if ours != theirs:
            lines.append(f"{name}: {ours}, the filer {theirs}")
    if wanted.body != got.body:
        shorter = min(len(wanted.body), len(got.body))
        at = next((i for i in range(shorter) if wanted.body[i] != got.body[i]), shorter)
        lines.append(
            f"body of {len(got.body)} bytes, the filer's {len(wanted.body)}, differ at {at}: "
            f"{got.body[at : at + 60]!r}, the filer {wanted.body[at : at + 60]!r}"
        )
    return "\n  ".join(lines)
