"""Reads over HTTP/2 without TLS: the same answers as over HTTP/1.1, several at once on one connection."""

import socket

import h2.config
import h2.connection
import h2.events
from compare import Pair
from files import Writer
from harness.line import Request

# What HTTP/2 has no place for, and what differs in every answer.
# What belongs to one connection, or to one request.
OF_HTTP_1 = {"connection", "keep-alive", "transfer-encoding", "date", "x-amz-request-id"}


def ask(address: str, requests: list[Request]) -> list[tuple[dict[str, str], bytes]]:
    """Sends all requests at once on one connection; gives headers and body of each answer, in the order asked."""
    host, _, port = address.rpartition(":")
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    answers: dict[int, tuple[dict[str, str], bytearray]] = {}
    with socket.create_connection((host, int(port)), timeout=30) as line:
        connection.initiate_connection()
        for request in requests:
            stream = connection.get_next_available_stream_id()
            pseudo = [(":method", request.method), (":path", request.target), (":scheme", "http"), (":authority", address)]
            connection.send_headers(stream, [*pseudo, *((n.lower(), v) for n, v in request.headers)], end_stream=True)
            answers[stream] = ({}, bytearray())
        line.sendall(connection.data_to_send())
        ended = 0
        while ended < len(requests):
            received = line.recv(1 << 16)
            assert received, "the connection was closed"
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    answers[event.stream_id][0].update(dict(event.headers))
                elif isinstance(event, h2.events.DataReceived):
                    answers[event.stream_id][1].extend(event.data)
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    ended += 1
                assert not isinstance(event, h2.events.StreamReset), event
            line.sendall(connection.data_to_send())
    return [(headers, bytes(body)) for headers, body in answers.values()]


def test_the_answers_of_http_1_1(writer: Writer, pairs: dict[str, Pair]) -> None:
    kinds = ["many-chunks", "sse-c", "sse-s3-multipart", "overlapping-chunks", "one-byte", "missing", "directory", "empty"]
    requests = []
    for kind in kinds:
        file = writer.get(kind)
        for method, extra in (("GET", ()), ("HEAD", ()), ("GET", (("Range", "bytes=5-300"),)), ("GET", (("Range", "x"),))):
            requests.append(Request(file.target, method, (*file.key_headers, *extra, ("Accept", "application/json"))))
    gate = pairs["plain"].gate
    for request, (headers, body) in zip(requests, ask(gate.address, requests), strict=True):
        wanted = gate.ask(request)
        assert headers.pop(":status") == str(wanted.status), request
        if writer.get("directory").target == request.target:
            continue
        assert body == wanted.body, request
        flat = {name: ", ".join(values) for name, values in wanted.headers.items() if name not in OF_HTTP_1}
        assert {name: value for name, value in headers.items() if name not in OF_HTTP_1} == flat, request
