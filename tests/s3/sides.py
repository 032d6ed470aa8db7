"""The same request, byte for byte, to the gateway and to the tidegate before it, and what differs in the answers."""

import re
from dataclasses import replace

from harness.line import Line, Reply, Request

# The connection's and the clock's, not the answer's.
_OF_THE_CONNECTION = ("date", "connection", "keep-alive", "transfer-encoding")
_REQUEST_ID = re.compile(rb"<RequestId>[^<]*</RequestId>")


class Sides:
    """A gateway and a tidegate. `host` is what requests of both name, so that one signature fits both.

    `source` is the loopback address that requests come from.
    """

    def __init__(self, gateway: str, gate: str, source: str = "") -> None:
        self.host = gateway
        self.gateway = Line(gateway, source)
        self.gate = Line(gate, source)

    def both(self, request: Request) -> tuple[Reply, Reply]:
        """The gateway's answer and tidegate's."""
        request = request if request.first("host") else request.having("Host", self.host)
        return self.gateway.ask(request), self.gate.ask(request)

    def difference(self, request: Request) -> str:
        """What differs; "" if nothing does."""
        wanted, got = self.both(request)
        return described(presented(wanted), presented(got))

    def status(self, request: Request) -> int:
        """The status that both answer, and AssertionError where anything differs."""
        wanted, got = self.both(request)
        different = described(presented(wanted), presented(got))
        assert not different, f"{request}\n  {different}"
        return got.status

    def answer(self, request: Request) -> Reply:
        """The answer of both, and AssertionError where anything differs."""
        self.status(request)
        return self.gate.ask(request if request.first("host") else request.having("Host", self.host))

    def close(self) -> None:
        """Closes both connections."""
        self.gateway.close()
        self.gate.close()


def presented(reply: Reply) -> Reply:
    """An answer without what is new in each: the date, and the id that the gateway gives a request."""
    headers = {name: values for name, values in reply.headers.items() if name not in _OF_THE_CONNECTION}
    if "x-amz-request-id" in headers:
        headers["x-amz-request-id"] = ["given"]
    return replace(reply, headers=headers, body=_REQUEST_ID.sub(b"<RequestId>given</RequestId>", reply.body))


def described(wanted: Reply, got: Reply) -> str:
    """The differences in words."""
    lines = []
    if wanted.status != got.status:
        lines.append(f"status {got.status}, the gateway {wanted.status}")
    for name in sorted(wanted.headers.keys() | got.headers.keys()):
        ours, theirs = got.headers.get(name), wanted.headers.get(name)
        if ours != theirs:
            lines.append(f"{name}: {ours}, the gateway {theirs}")
    if wanted.body != got.body:
        shorter = min(len(wanted.body), len(got.body))
        at = next((i for i in range(shorter) if wanted.body[i] != got.body[i]), shorter)
        lines.append(
            f"body of {len(got.body)} bytes, the gateway's {len(wanted.body)}, differ at {at}: "
            f"{got.body[at : at + 80]!r}, the gateway {wanted.body[at : at + 80]!r}"
        )
    return "\n  ".join(lines)
