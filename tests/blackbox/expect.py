"""What is the same in every answer: compared here once, with words that say what differs."""

import json

from catalogue import Object
from harness import Answer, Tidegate, request

OWN_TO_EACH_ANSWER = {"date", "server", "x-amz-request-id", "connection", "keep-alive", "vary"}
ECHO = "x-amz-server-side-encryption"


def read(gate: Tidegate, thing: Object, method: str = "GET", **headers: str) -> Answer:
    """Reads an object through tidegate with the key it needs. `Range="bytes=0-1"` adds a header."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(method, gate.url + thing.path(), {**thing.key_headers, **given})


def same_headers_as_filer(answer: Answer, filer: Answer) -> None:
    """Every header of the filer's answer is there with the same value."""
    got, wanted = answer.lower(), filer.lower()
    for name in wanted.keys() - OWN_TO_EACH_ANSWER:
        if name.startswith(
            ECHO
        ):  # the gateway's word counts: of a copy the filer gives the key id as the client wrote it
            continue
        if name == "access-control-expose-headers":  # the filer lists them in any order
            assert set(got.get(name, "").split(",")) == set(wanted[name].split(",")), name
        else:
            assert got.get(name) == wanted[name], f"{name}: {got.get(name)!r}, the filer says {wanted[name]!r}"
    leaked = [name for name in got if name.startswith("x-seaweedfs-")]
    assert not leaked, f"internal attributes went out: {leaked}"


def same_echo_as_gateway(answer: Answer, gateway: Answer) -> None:
    """The SSE headers are those that the S3 gateway answers."""
    got = {name: value for name, value in answer.lower().items() if name.startswith(ECHO)}
    wanted = {name: value for name, value in gateway.lower().items() if name.startswith(ECHO)}
    assert got == wanted


def same_bytes(got: bytes, wanted: bytes) -> None:
    """The same bytes; at a difference says where, since megabytes are no message."""
    if got == wanted:
        return
    shorter = min(len(got), len(wanted))
    first = next((at for at in range(shorter) if got[at] != wanted[at]), shorter)
    raise AssertionError(f"{len(got)} bytes for {len(wanted)}, the first difference is at {first}")


def json_error(answer: Answer) -> str:
    """The message of an error body: the filer's `error`, and beside it whose fault it is and whether to retry."""
    assert answer.header("Content-Type").startswith("application/json")
    body = json.loads(answer.body)
    assert isinstance(body["error"], str) and body["error"]
    assert body["blame"] in ("client", "filer", "volume", "kms", "config")
    assert isinstance(body["retry"], bool)
    assert body.keys() <= {"error", "code", "blame", "retry"}
    return body["error"]


def error_code(answer: Answer) -> str:
    """The code of an error body."""
    return json.loads(answer.body)["code"]
