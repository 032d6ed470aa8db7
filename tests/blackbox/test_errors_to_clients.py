"""What an error tells a client, and what only the log has, under the id that both have."""

import json
import re

from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import json_error
from harness import Encryption, Front, Tidegate, request

ID = re.compile(r"[0-9A-F]{24}")


def test_a_lost_chunk_is_not_named_to_the_client(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """Who knows a needle's id may ask the filer for it."""
    thing = objects.sized(front_1mb, Encryption.NONE, 70_000, "named-in-errors")
    chunks = front_1mb.chunks(thing.path())
    fid = chunks[0]["file_id"]
    found = json.loads(request("GET", f"{front_1mb.master_url}/dir/lookup?volumeId={fid.partition(',')[0]}").body)
    server = found["locations"][0]["url"]
    assert request("DELETE", f"http://{server}/{fid}").status == 202
    gate = start_tidegate(front_1mb)
    answer = request("GET", gate.url + thing.path())
    assert answer.status == 502
    told = json_error(answer)
    for secret in (fid, fid.split(",")[1], server):
        assert secret not in told + str(answer.headers), told
    named = answer.header("X-Amz-Request-Id")
    assert ID.fullmatch(named) and named in told
    line = next(line for line in gate.log.read_text().splitlines() if named in line)
    assert fid in line and server in line


def test_every_answer_names_its_request(front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue) -> None:
    thing = objects.get(front_1mb, Encryption.NONE, Shape.BYTE)
    url = gate_1mb.url + thing.path()
    answers = [
        request("GET", url),
        request("HEAD", url),
        request("GET", url, {"If-None-Match": "*"}),
        request("GET", url, {"Range": "bytes=9-"}),
        request("GET", gate_1mb.url + "/no/such/file"),
        request("GET", gate_1mb.url + "/etc/anything"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 304, 416, 404, 403]
    names = {answer.header("X-Amz-Request-Id") for answer in answers}
    assert len(names) == len(answers) and all(map(ID.fullmatch, names))
    # What is relayed keeps the filer's, which stands in the filer's log.
    assert request("GET", url + "?metadata=true").header("X-Amz-Request-Id")
