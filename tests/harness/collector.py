"""What takes spans in a collector's place: OTLP over gRPC, each span a line of JSON in the log.

A process of its own, for gRPC has threads and the harness forks. Run as `collector.py PORT`.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.listener import Listener
from harness.ports import HOST, free_port
from harness.protobuf import Fixed64, fields_of, message_in, text_in

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class Span:
    """What was told of one span; ids in hex, times in nanoseconds."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    kind: int
    start: int
    end: int
    attributes: dict[str, str | int]


class Collector(Listener):
    """Takes spans at `url`."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        super().__init__("collector", [sys.executable, __file__, str(self.port)], root / "collector.log")

    def spans(self) -> list[Span]:
        """All that came so far."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [Span(**json.loads(line)) for line in lines]


def _values(raw: bytes, number: int) -> dict[str, str | int]:
    """The attributes in a field that is repeated."""
    pairs = [value for field, value in fields_of(raw) if field == number and isinstance(value, bytes)]
    found: dict[str, str | int] = {}
    for pair in pairs:
        value = dict(fields_of(message_in(pair, 2)))
        text = value.get(1)
        found[text_in(pair, 1)] = text.decode() if isinstance(text, bytes) else int(str(value.get(3, 0)))
    return found


def _spans(request: bytes) -> list[Span]:
    def inner(raw: bytes, number: int) -> list[bytes]:
        return [value for field, value in fields_of(raw) if field == number and isinstance(value, bytes)]

    found = []
    for resource in inner(request, 1):
        service = str(_values(message_in(resource, 1), 1).get("service.name", ""))
        for raw in [span for scope in inner(resource, 2) for span in inner(scope, 2)]:
            numbers = dict(fields_of(raw))
            start, end = (numbers[at].number for at in (7, 8) if isinstance(numbers[at], Fixed64))
            ids = [message_in(raw, at).hex() for at in (1, 2, 4)]
            kind = int(str(numbers.get(6, 0)))
            found.append(Span(service, *ids, text_in(raw, 5), kind, start, end, _values(raw, 9)))
    return found


def _serve(port: str) -> None:
    import grpc

    def export(request: bytes, _: object) -> bytes:
        for span in _spans(request):
            print(json.dumps(span.__dict__), flush=True)
        return b""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: object) -> object:
            return grpc.unary_unary_rpc_method_handler(export) if getattr(details, "method", "") == METHOD else None

    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Handler(),))
    server.add_insecure_port(f"{HOST}:{port}")
    server.start()
    threading.Event().wait()


if __name__ == "__main__":
    _serve(sys.argv[1])
