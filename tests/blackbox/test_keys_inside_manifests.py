"""SSE-C chunks that a manifest lists: their key is checked where it is used, not only before the manifest is read."""

import base64
import json

from catalogue import BUCKET, CUSTOMER_KEY, CUSTOMER_KEY_2, Catalogue, Object
from expect import error_code, same_bytes
from harness import Encryption, Front, Payload, Tidegate, request
from harness.entry_tool import change_entry
from harness.protobuf import Fixed32, message
from harness.s3 import sse_arguments

MIB = 1 << 20
KEY_MD5 = "X-Amz-Server-Side-Encryption-Customer-Key-MD5"


def manifest(thing: Object) -> bytes:
    """A manifest that lists the chunks of an object."""
    entry = json.loads(request("GET", f"{thing.front.filer.url}{thing.path()}?metadata=true").body)
    listed = []
    for chunk in entry["chunks"]:
        fid = chunk["fid"]
        place = message((1, fid["volume_id"]), (2, fid["file_key"]), (3, Fixed32(fid["cookie"])))
        label = (12, chunk["sse_type"]), (13, base64.b64decode(chunk["sse_metadata"]))
        where = (2, chunk.get("offset")), (3, chunk["size"]), (4, chunk["modified_ts_ns"])
        listed.append((1, message(*where, (7, place), *label)))
    return message(*listed)


def test_a_chunk_of_another_key_inside_a_manifest_is_not_decrypted(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue
) -> None:
    """The entry names no key, so nothing was there to check a key against before the manifest was read."""
    listed = objects.sized(front_1mb, Encryption.SSE_C, 2 * MIB + 7, name="listed")
    list_key = "keys-inside-manifests/list"
    front_1mb.s3.put(BUCKET, list_key, manifest(listed))
    key = "keys-inside-manifests/other"
    front_1mb.s3.put(BUCKET, key, Payload(key, 99).bytes(), **sse_arguments(Encryption.SSE_C, customer_key=CUSTOMER_KEY_2))
    thing = Object(front_1mb, key, Encryption.SSE_C, listed.content)
    change_entry(
        f"{front_1mb.filer.host}:{front_1mb.filer.grpc_port}",
        thing.path(),
        chunks_of=Object(front_1mb, list_key, Encryption.NONE, b"").path(),
        chunk={"is_chunk_manifest": 1},
        sizes=[len(listed.content)],
        file_size=len(listed.content),
        extended={KEY_MD5: None},
    )
    for more in ({}, {"Range": "bytes=1048570-1048579"}):
        answer = request("GET", gate_1mb.url + thing.path(), {**CUSTOMER_KEY_2.headers(), **more})
        assert (answer.status, error_code(answer)) == (403, "AccessDenied"), answer.body[:100]
    # It is the key that decides, and nothing else.
    answer = request("GET", gate_1mb.url + thing.path(), CUSTOMER_KEY.headers())
    assert answer.status == 200
    same_bytes(answer.body, listed.content)
