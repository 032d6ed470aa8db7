"""Reads of a bucket with a policy, by S3: the gateway is asked for a byte of the object, and its answer tells of the object."""

import json
import os
import signal

from catalogue import CUSTOMER_KEY
from conftest import StartTidegate
from harness import Encryption, Front, Payload, Tidegate, request
from harness.relay import Behaviour, Relay
from harness.s3 import sse_arguments
from harness.signed import Ask
from pairs import Breakable
from s3_pair import comparable
from waiting import until

HOST = "127.0.0.1"
MIB = 1 << 20
ENCRYPTIONS = [Encryption.NONE, Encryption.SSE_S3, Encryption.SSE_KMS, Encryption.SSE_C]


def for_all(front: Front, bucket: str) -> None:
    """Makes a bucket that all may read, by its policy."""
    s3 = front.s3.client
    s3.create_bucket(Bucket=bucket)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)


def s3_of(front: Front) -> dict[str, object]:
    """The table of an S3 front."""
    return {"gateway": [front.gateway.url]}


def servers_of(front: Front, broken: Breakable, path: str) -> list[int]:
    """Which volume server has each chunk of the object, by the chunks' order."""
    announced = [server.url.removeprefix("http://").rsplit(":", 1)[1] for server in broken.cluster.volumes]
    chunks = sorted(front.chunks(path), key=lambda chunk: chunk.get("offset", 0))
    servers = []
    for chunk in chunks:
        volume = chunk["file_id"].split(",")[0]
        found = json.loads(request("GET", f"{broken.cluster.master.url}/dir/lookup?volumeId={volume}").body)
        servers.append(announced.index(found["locations"][0]["url"].rsplit(":", 1)[1]))
    return servers


def with_other_chunks_elsewhere(front: Front, broken: Breakable, bucket: str, encryption: Encryption) -> tuple[str, bytes, int]:
    """An object, its bytes, and the number of a chunk that is on another server than the first, which is on server 0."""
    sse = sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=front.kms.key_id if front.kms else None)
    for number in range(40):
        key = f"{encryption.value}-{number}"
        content = Payload(bucket + key, 8 * MIB).bytes()
        front.s3.client.put_object(Bucket=bucket, Key=key, Body=content, **sse)
        servers = servers_of(front, broken, f"/buckets/{bucket}/{key}")
        if servers[0] == 0 and 1 in servers:
            return key, content, servers.index(1)
    raise AssertionError("all objects begin on the same server")


def test_a_range_is_not_lost_with_the_first_chunk(spread: Breakable, start_tidegate: StartTidegate) -> None:
    """The range is in another chunk, and the gateway by itself serves it."""
    front, bucket = spread.fronts[1], "lost-first-chunk"
    for_all(front, bucket)
    gate = start_tidegate(front, {"s3": s3_of(front)})
    things = {each: with_other_chunks_elsewhere(front, spread, bucket, each) for each in (Encryption.NONE, Encryption.SSE_C)}
    asks = {}
    for encryption, (key, content, chunk) in things.items():
        first, last = chunk * MIB + 100, chunk * MIB + 200_099
        headers = CUSTOMER_KEY.headers() if encryption is Encryption.SSE_C else {}
        ask = Ask(f"/{bucket}/{key}", signer=None, unsigned={**headers, "Range": f"bytes={first}-{last}"})
        asks[encryption] = (ask, content[first : last + 1])

    def all_right(when: str) -> None:
        for encryption, (ask, wanted) in asks.items():
            for url in (front.gateway.url, gate.s3_url):
                answer = ask.of(url)
                assert (answer.status, answer.body == wanted) == (206, True), (when, encryption, url, answer.body[:200])

    all_right("all are up")
    served = gate.metrics().sum("tidegate_s3_served_total")
    server = spread.cluster.volumes[0]
    server.signal(signal.SIGSTOP)
    try:
        all_right("the first chunk's server hangs")
    finally:
        server.signal(signal.SIGCONT)
    spread.cluster.kill_volume(0)
    all_right("the first chunk's server is gone")
    assert gate.metrics().sum("tidegate_s3_served_total") == served + 2 * len(asks)


def test_ranges_of_an_object_of_several_chunks(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    """Whatever byte the gateway is asked for, tidegate answers as the gateway does."""
    bucket = "policy-ranges"
    for_all(front_1mb, bucket)
    gate = start_tidegate(front_1mb, {"s3": s3_of(front_1mb)})
    for encryption in ENCRYPTIONS:
        sse = sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=front_1mb.kms.key_id)
        about = {"Metadata": {"is": "high"}, "CacheControl": "max-age=60", "Tagging": "a=1"}
        content = Payload(bucket + encryption.value, 3 * MIB + 5).bytes()
        front_1mb.s3.client.put_object(Bucket=bucket, Key=encryption.value, Body=content, **about, **sse)
        key = CUSTOMER_KEY.headers() if encryption is Encryption.SSE_C else {}
        served = gate.metrics().sum("tidegate_s3_served_total")
        ranges = [f"{MIB - 1}-{2 * MIB}", f"{2 * MIB + 77}-", "-20000", f"0-{MIB}", f"-{9 * MIB}"]
        beyond = [f"{3 * MIB + 5}-", f"{9 * MIB}-{10 * MIB}", "-0"]
        for text in [None, *ranges, *beyond]:
            headers = {**key, "Origin": "https://elsewhere.example", **({"Range": f"bytes={text}"} if text else {})}
            for ask in (
                Ask(f"/{bucket}/{encryption.value}", signer=None, unsigned=headers),
                Ask(f"/{bucket}/{encryption.value}?x-id=GetObject", headers=key, unsigned=headers),
            ):
                mine, wanted = (comparable(ask.of(url), url) for url in (gate.s3_url, front_1mb.gateway.url))
                assert mine == wanted, (encryption, text)
        assert gate.metrics().sum("tidegate_s3_served_total") == served + 2 * (1 + len(ranges)), encryption
    assert gate.metrics().sum("tidegate_s3_relayed_total", reason="stale") == 0


def test_an_answer_tells_of_one_version(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    """An object is replaced past tidegate by the same bytes, and the filer's word of it is under way. What the gateway
    decided about is the new one, and the ETag is the same."""
    bucket = "same-bytes"
    for_all(front_1mb, bucket)
    relay = Relay((HOST, 0), (HOST, front_1mb.filer.grpc_port), Behaviour())
    try:
        filer = {"addresses": [f"{front_1mb.filer.address}.{relay.port}"]}
        gate = start_tidegate(front_1mb, {"filer": filer, "s3": s3_of(front_1mb)})
        until(lambda: gate.metrics().sum("tidegate_filer_subscription_up") == 1, "changes are followed", 20)
        content = os.urandom(200_000)
        versions = [
            {"ServerSideEncryption": "AES256", "Metadata": {"old": "1", "both": "old"}, "Tagging": "a=1&b=2"},
            {"Metadata": {"new": "1", "both": "new"}, "CacheControl": "max-age=60"},
            {"Metadata": {"both": "newer"}, "ContentType": "text/x-tide"},
        ]
        ask = Ask(f"/{bucket}/k", signer=None)
        for version in versions:
            front_1mb.s3.client.put_object(Bucket=bucket, Key="k", Body=content, **version)
            for _ in range(2):
                mine, wanted = (comparable(ask.of(url), url) for url in (gate.s3_url, front_1mb.gateway.url))
                assert mine == wanted, version
            known(gate, ask)
            relay.behaviour.delay = 0.5
        assert gate.metrics().sum("tidegate_s3_relayed_total", reason="stale") == 0
    finally:
        relay.stop()


def known(gate: Tidegate, ask: Ask) -> None:
    """Asks until the entry comes from memory."""

    def from_memory() -> bool:
        before = gate.metrics().sum("tidegate_filer_seconds_count", question="lookup")
        assert ask.of(gate.s3_url).status == 200
        return gate.metrics().sum("tidegate_filer_seconds_count", question="lookup") == before

    until(from_memory, "the entry is known")
