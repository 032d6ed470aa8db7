"""Customer keys in the clear: for this machine only, unless `access.ssec_over_http` says otherwise."""

import socket

from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import json_error, same_bytes
from harness import Encryption, Front, request

EVERYWHERE = "0.0.0.0"


def outside_address() -> str | None:
    """This machine's own address towards others; None where it has only loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only chooses the address
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def test_a_key_from_another_host_is_refused(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """Asked over this machine's own outside address. Without one only the loopback half is seen here."""
    thing = objects.get(front_1mb, Encryption.SSE_C, Shape.BLOCK_AND_BYTE)
    gate = start_tidegate(front_1mb, host=EVERYWHERE)
    assert request("GET", f"http://127.0.0.1:{gate.port}{thing.path()}", thing.key_headers).body == thing.content
    if address := outside_address():
        answer = request("GET", f"http://{address}:{gate.port}{thing.path()}", thing.key_headers)
        assert 400 <= answer.status < 500
        assert "access.ssec_over_http" in json_error(answer)
        plain = objects.get(front_1mb, Encryption.NONE, Shape.BLOCK_AND_BYTE)
        assert request("GET", f"http://{address}:{gate.port}{plain.path()}").body == plain.content


def test_the_setting_allows_it(front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_C, Shape.BLOCK_AND_BYTE)
    gate = start_tidegate(front_1mb, {"access": {"ssec_over_http": True}}, host=EVERYWHERE)
    for address in {"127.0.0.1", outside_address() or "127.0.0.1"}:
        answer = request("GET", f"http://{address}:{gate.port}{thing.path()}", thing.key_headers)
        assert answer.status == 200
        same_bytes(answer.body, thing.content)
