"""When the volume servers fail: refused before the first header, or cut. A wrong body never ends well."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogue import Catalogue, Object
from conftest import StartTidegate
from distance import CHUNK, distant_cluster
from expect import json_error, read, same_bytes
from harness import Answer, Encryption, Front, Kms, Tidegate, request
from harness.relay import Behaviour
from waiting import until

every_encryption = pytest.mark.parametrize("encryption", Encryption, ids=lambda e: e.title)


@pytest.fixture(scope="module")
def frail(root: Path, kms: Kms) -> Iterator[tuple[Front, Behaviour]]:
    """A front whose volume server's line can be cut."""
    with distant_cluster(root / "frail", kms) as made:
        yield made


def read_or_cut(gate: Tidegate, thing: Object) -> Answer | None:
    """The whole answer, or None when the connection was cut."""
    try:
        return read(gate, thing)
    except (http.client.IncompleteRead, ConnectionError):
        return None


@every_encryption
def test_a_line_that_drops_never_ends_in_a_clean_short_body(
    frail: tuple[Front, Behaviour], objects: Catalogue, start_tidegate: StartTidegate, encryption: Encryption
) -> None:
    front, line = frail
    thing = objects.sized(front, encryption, 8 * CHUNK + 5, "dropped")
    gate = start_tidegate(front)
    line.cut_after = CHUNK // 2
    try:
        answer = read_or_cut(gate, thing)
    finally:
        line.cut_after = None
    if answer is not None and answer.status == 200:
        same_bytes(answer.body, thing.content)
    elif answer is not None:
        assert 500 <= answer.status < 600
        json_error(answer)
    until(lambda: gate.metrics().sum("tidegate_fetches_in_flight") == 0, "no fetch is in flight")
    same_bytes(read(gate, thing).body, thing.content)


@every_encryption
def test_a_chunk_that_is_lost_in_the_middle_cuts_the_download(
    frail: tuple[Front, Behaviour], objects: Catalogue, start_tidegate: StartTidegate, encryption: Encryption
) -> None:
    front, _ = frail
    thing = objects.sized(front, encryption, 30 * CHUNK, "lost-in-the-middle")
    lose_chunk(thing, offset=25 * CHUNK)
    answer = read_or_cut(start_tidegate(front), thing)
    assert answer is None or 500 <= answer.status < 600


@every_encryption
def test_a_first_chunk_that_is_lost_is_no_200(
    frail: tuple[Front, Behaviour], objects: Catalogue, start_tidegate: StartTidegate, encryption: Encryption
) -> None:
    front, _ = frail
    thing = objects.sized(front, encryption, 1000, "lost")
    lose_chunk(thing, offset=0)
    answer = read_or_cut(start_tidegate(front), thing)
    assert answer is None or 500 <= answer.status < 600


def test_several_ranges_of_a_first_chunk_that_is_lost_are_no_206(
    frail: tuple[Front, Behaviour], objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """The text in front of the first range is no byte of the file."""
    front, _ = frail
    thing = objects.sized(front, Encryption.NONE, 1000, "lost-in-parts")
    lose_chunk(thing, offset=0)
    answer = read(start_tidegate(front), thing, Range="bytes=1-2,10-12")
    assert answer.status == 502
    json_error(answer)


def lose_chunk(thing: Object, offset: int) -> None:
    """Deletes one chunk at its volume server, behind the filer's back, and vacuums it away."""
    chunks = thing.front.chunks(thing.path())
    fid = next(chunk["file_id"] for chunk in chunks if chunk.get("offset", 0) == offset)
    master = thing.front.master_url
    found = json.loads(request("GET", f"{master}/dir/lookup?volumeId={fid.partition(',')[0]}").body)
    url = f"http://{found['locations'][0]['url']}/{fid}"
    assert request("DELETE", url).status == 202
    # A needle that is only deleted can still be read by those who ask for deleted ones.
    request("GET", f"{master}/vol/vacuum?garbageThreshold=0.000001")
    until(lambda: request("GET", f"{url}?readDeleted=true").status == 404, "the chunk is gone", timeout=30)
