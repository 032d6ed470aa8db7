"""The S3 front hands on what it does not serve: every kind of write and list, as the client wrote it; what a write
leaves of what was known before; gateways that fail."""

import hashlib
import http.client
import io
import socket
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from urllib.parse import urlsplit

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from conftest import StartTidegate
from harness import Answer, Front, Payload, Tidegate, request
from harness.http2 import http2
from harness.ports import free_port
from harness.relay import Behaviour, Relay
from harness.s3 import ACCESS_KEY, SECRET_KEY, CustomerKey, Encryption, sse_arguments
from harness.wire import exchange
from waiting import until

MIB = 1 << 20
KEY = CustomerKey.from_seed("of the relay")


def s3_of(*gateways: str) -> dict[str, object]:
    """The table of an S3 front."""
    return {"s3": {"gateway": list(gateways)}}


def client(gate: Tidegate, secret: str = SECRET_KEY, signature: str | None = None):
    """A client as boto3 makes it, with nothing turned off but retries: it sends checksums after chunked bodies, and
    presigns with version 2 unless `signature` says `s3v4`."""
    return boto3.client(
        "s3",
        endpoint_url=gate.s3_url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
        config=Config(signature_version=signature, s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def gate(front_1mb: Front, start_shared: StartTidegate) -> Tidegate:
    """A tidegate before the gateway of `front_1mb`."""
    return start_shared(front_1mb, s3_of(front_1mb.gateway.url))


@pytest.fixture
def bucket(front_1mb: Front, request: pytest.FixtureRequest) -> str:
    """A bucket that no other test uses."""
    name = "relay-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    front_1mb.s3.create_bucket(name)
    return name


def refusal(answer: Answer) -> str:
    """The code of an S3 error."""
    assert answer.header("Content-Type").startswith("application/xml"), answer
    document = ET.fromstring(answer.body)
    assert document.tag == "Error"
    named = {element.tag for element in document}
    assert named >= {"Code", "Message", "Resource", "RequestId"}, named
    assert document.findtext("RequestId") == answer.header("x-amz-request-id")
    return document.findtext("Code") or ""


def object_at(front: Front, bucket: str, key: str) -> bytes:
    """What the gateway itself says is there."""
    return front.s3.client.get_object(Bucket=bucket, Key=key)["Body"].read()


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * MIB + 1])
def test_an_upload_as_boto3_makes_it(front_1mb: Front, gate: Tidegate, bucket: str, size: int) -> None:
    """It asks before it sends (`Expect: 100-continue`), and sends a checksum behind the body."""
    content = Payload(bucket, size).bytes()
    s3 = client(gate)
    told = {"ContentType": "text/x-tide", "Metadata": {"is": "high"}}
    put = s3.put_object(Bucket=bucket, Key="a b/ü", Body=io.BytesIO(content), **told)
    assert put["ETag"].strip('"') == hashlib.md5(content).hexdigest()
    assert object_at(front_1mb, bucket, "a b/ü") == content
    got, wanted = (each.get_object(Bucket=bucket, Key="a b/ü") for each in (s3, front_1mb.s3.client))
    assert got["Body"].read() == content
    assert all(got[name] == wanted[name] for name in ("ContentType", "Metadata", "ETag", "LastModified")), got
    assert s3.head_object(Bucket=bucket, Key="a b/ü")["ContentLength"] == size


@pytest.mark.parametrize("encryption", [Encryption.SSE_C, Encryption.SSE_KMS, Encryption.SSE_S3], ids=lambda e: e.title)
def test_an_encrypted_upload(front_1mb: Front, gate: Tidegate, bucket: str, encryption: Encryption) -> None:
    content = Payload(bucket, 2 * MIB + 7).bytes()
    sse = sse_arguments(encryption, customer_key=KEY, kms_key_id=front_1mb.kms.key_id)
    reads = {name: value for name, value in sse.items() if name.startswith("SSECustomer")}
    s3 = client(gate)
    s3.put_object(Bucket=bucket, Key="k", Body=content, **sse)
    assert s3.get_object(Bucket=bucket, Key="k", **reads)["Body"].read() == content
    assert front_1mb.s3.client.get_object(Bucket=bucket, Key="k", **reads)["Body"].read() == content


def test_an_upload_in_parts(front_1mb: Front, gate: Tidegate, bucket: str) -> None:
    payload = Payload(bucket, 17 * MIB + 3)
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=3)
    s3 = client(gate)
    s3.upload_fileobj(io.BytesIO(payload.bytes()), bucket, "large", Config=parts)
    into = io.BytesIO()
    s3.download_fileobj(bucket, "large", into, Config=parts)
    assert into.getvalue() == payload.bytes()
    assert object_at(front_1mb, bucket, "large") == payload.bytes()
    begun = s3.create_multipart_upload(Bucket=bucket, Key="never")
    s3.upload_part(Bucket=bucket, Key="never", UploadId=begun["UploadId"], PartNumber=1, Body=b"1")
    listed = s3.list_parts(Bucket=bucket, Key="never", UploadId=begun["UploadId"])
    assert [part["Size"] for part in listed["Parts"]] == [1]
    s3.abort_multipart_upload(Bucket=bucket, Key="never", UploadId=begun["UploadId"])


def test_copies_lists_and_deletions(front_1mb: Front, gate: Tidegate, bucket: str) -> None:
    s3 = client(gate)
    for key in ("a", "b/c", "b/d"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    s3.copy_object(Bucket=bucket, Key="e", CopySource=f"{bucket}/b/c")
    assert s3.get_object(Bucket=bucket, Key="e")["Body"].read() == b"b/c"
    listed = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [thing["Key"] for thing in listed["Contents"]] == ["a", "e"]
    assert [prefix["Prefix"] for prefix in listed["CommonPrefixes"]] == ["b/"]
    s3.delete_object(Bucket=bucket, Key="a")
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b/c"}, {"Key": "b/d"}]})
    assert len(done["Deleted"]) == 2
    for key in ("a", "b/c", "b/d"):
        with pytest.raises(s3.exceptions.NoSuchKey):
            s3.get_object(Bucket=bucket, Key=key)
    assert bucket in [each["Name"] for each in s3.list_buckets()["Buckets"]]


def test_what_was_written_is_what_the_next_read_gets(gate: Tidegate, bucket: str) -> None:
    """However it was written: an answer that was right before it is kept nowhere."""
    s3 = client(gate)
    sse = sse_arguments(Encryption.SSE_C, customer_key=KEY)

    def read() -> bytes:
        return s3.get_object(Bucket=bucket, Key="k", **sse)["Body"].read()

    for number in range(6):
        content = Payload(f"{bucket}{number}", 300_000 + number).bytes()
        if number % 3 == 0:
            s3.put_object(Bucket=bucket, Key="k", Body=content, **sse)
        elif number % 3 == 1:
            upload = s3.create_multipart_upload(Bucket=bucket, Key="k", **sse)["UploadId"]
            part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=content, **sse)
            parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
            s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts)
        else:
            s3.put_object(Bucket=bucket, Key="other", Body=content, **sse)
            source = {f"CopySource{name}": value for name, value in sse.items()}
            s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/other", **sse, **source)
        for _ in range(3):
            assert read() == content, number
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})
    with pytest.raises(s3.exceptions.NoSuchKey):
        read()


def test_who_asks_who_he_is_takes_nothing_from_others(gate: Tidegate, bucket: str) -> None:
    """Whoever has a key may ask who he is. Nothing of what is read here changes by it."""
    s3 = client(gate)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * (1 << 20))

    def lookups_of_a_read() -> float:
        before = gate.metrics().sum("tidegate_cache_requests_total", cache="entries", outcome="miss")
        s3.get_object(Bucket=bucket, Key="k")["Body"].read()
        return gate.metrics().sum("tidegate_cache_requests_total", cache="entries", outcome="miss") - before

    until(lambda: lookups_of_a_read() == 0, "the entry is known")
    sts = boto3.client(
        "sts",
        endpoint_url=gate.s3_url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    assert sts.get_caller_identity()["Arn"]
    assert lookups_of_a_read() == 0


def test_versions(gate: Tidegate, bucket: str) -> None:
    s3 = client(gate)
    sse = sse_arguments(Encryption.SSE_C, customer_key=KEY)
    read = {"Bucket": bucket, "Key": "k", **sse}
    s3.put_object(**read, Body=b"before there were versions" * 10_000)
    assert s3.get_object(**read)["Body"].read(6) == b"before"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = []
    for number in range(3):
        versions.append(s3.put_object(**read, Body=f"version {number}".encode() * 20_000)["VersionId"])
        got = s3.get_object(**read)
        assert (got["VersionId"], got["Body"].read(9)) == (versions[-1], f"version {number}".encode())
    for number, version in enumerate(versions):
        assert s3.get_object(**read, VersionId=version)["Body"].read(9) == f"version {number}".encode()
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(**read)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker)
    assert s3.get_object(**read)["VersionId"] == versions[-1]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=versions[-1])
    assert s3.get_object(**read)["VersionId"] == versions[-2]


def test_a_policy_counts_from_the_next_request_on(gate: Tidegate, bucket: str) -> None:
    s3 = client(gate)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 300_000, ServerSideEncryption="AES256")
    url = f"{gate.s3_url}/{bucket}/k"
    policy = """{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::%s/*"}]}"""
    for _ in range(3):
        assert request("GET", url).status == 200
        s3.put_bucket_policy(Bucket=bucket, Policy=policy % bucket)
        assert request("GET", url).status == 403
        s3.delete_bucket_policy(Bucket=bucket)


def test_a_wrong_signature_is_the_gateways_to_refuse(front_1mb: Front, gate: Tidegate, bucket: str) -> None:
    client(gate).put_object(Bucket=bucket, Key="k", Body=b"x" * 300_000)
    wrong = client(gate, "not the secret")
    asked = {
        "GetObject": lambda: wrong.get_object(Bucket=bucket, Key="k"),
        "PutObject": lambda: wrong.put_object(Bucket=bucket, Key="k", Body=b"y"),
        "ListObjectsV2": lambda: wrong.list_objects_v2(Bucket=bucket),
    }
    for name, ask in asked.items():
        with pytest.raises(ClientError) as caught:
            ask()
        assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch", name
    assert object_at(front_1mb, bucket, "k") == b"x" * 300_000


@pytest.mark.parametrize("signature", [None, "s3v4"], ids=["v2", "v4"])
def test_presigned_urls(gate: Tidegate, bucket: str, signature: str | None) -> None:
    s3 = client(gate, signature=signature)
    content = Payload(bucket, 2 * MIB).bytes()
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"})
    assert request("PUT", put, body=content).status == 200
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    answer = request("GET", get)
    assert (answer.status, answer.body == content) == (200, True)
    assert request("GET", get.replace("/k?", "/l?")).status == 403


def test_a_presigned_url_that_says_how_to_answer(gate: Tidegate, bucket: str) -> None:
    """Only version 4: the gateway refuses such URLs of version 2."""
    s3 = client(gate, signature="s3v4")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 2 * MIB)
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k", "ResponseContentType": "x/y"})
    assert request("GET", url).header("Content-Type") == "x/y"
    assert request("GET", url.replace("x%2Fy", "x%2Fz")).status == 403


def test_clients_of_http2(front_1mb: Front, gate: Tidegate, bucket: str) -> None:
    """Their requests have no `Host`: what they call it was signed, and is what the gateway gets."""
    s3 = client(gate)
    content = Payload(bucket, 400_000).bytes()

    def target(operation: str) -> str:
        url = urlsplit(s3.generate_presigned_url(operation, {"Bucket": bucket, "Key": "k"}))
        return f"{url.path}?{url.query}"

    assert http2(gate.s3_listen, "PUT", target("put_object"), {"content-length": str(len(content))}, content)[0] == "200"
    assert object_at(front_1mb, bucket, "k") == content
    status, body = http2(gate.s3_listen, "GET", target("get_object"), {})
    assert (status, body == content) == ("200", True)
    assert http2(gate.s3_listen, "DELETE", target("delete_object"), {})[0] == "204"


@pytest.fixture
def overheard(front_1mb: Front, start_tidegate: StartTidegate) -> Iterator[tuple[Tidegate, Behaviour]]:
    """A tidegate whose gateway is behind a relay that remembers what it was asked."""
    line = Behaviour(remember=True)
    relay = Relay(("127.0.0.1", 0), ("127.0.0.1", front_1mb.gateway.port), line)
    try:
        yield start_tidegate(front_1mb, s3_of(f"http://127.0.0.1:{relay.port}")), line
    finally:
        relay.stop()


def heard(line: Behaviour, method: str) -> list[str]:
    """The lines of the head of the last request that begins so, in lower case."""
    head = bytes(line.sent_by_clients).rsplit(method.encode(), 1)[1].split(b"\r\n\r\n", 1)[0]
    return (method.encode() + head).decode().lower().split("\r\n")


def test_a_request_passes_as_it_was_written(overheard: tuple[Tidegate, Behaviour], bucket: str) -> None:
    gate, line = overheard
    path = f"/{bucket}/a%2fb//%7e+c?x=%41;&y"
    sent = (
        f"PUT {path} HTTP/1.1\r\nHost: Some.Example:99\r\nContent-Length: 4\r\nX-Forwarded-For: 198.51.100.7\r\n"
        "Connection: close, X-Forwarded-For, X-Amz-Meta-A\r\nX-Amz-Meta-A:  two  spaces \r\nVia: 1.0 before\r\n"
        "X-Amz-Server-Side-Encryption-Customer-Key: not-a-key\r\nX-SeaweedFS-Principal: admin\r\nTE: trailers\r\n"
        "X-SeaweedFS-Session-Token: t\r\nUser-Agent: tide\r\nX-Forwarded-Host: h\r\n\r\nbody"
    )
    assert exchange(gate.s3_listen, sent.encode()).startswith(b"HTTP/1.1 403 ")
    head = heard(line, "PUT /")
    assert head[0] == f"put {path} http/1.1".lower()
    for kept in (
        "host: some.example:99",
        "x-forwarded-for: 198.51.100.7, 127.0.0.1",
        "x-amz-meta-a: two  spaces",
        "via: 1.0 before",
        "x-amz-server-side-encryption-customer-key: not-a-key",
        "user-agent: tide",
        "x-forwarded-host: h",
    ):
        assert kept in head, kept
    names = {line.partition(":")[0] for line in head[1:]}
    assert not names & {"te", "x-seaweedfs-principal", "x-seaweedfs-session-token", "x-forwarded-proto"}, names


def test_a_request_with_two_hosts_is_refused(overheard: tuple[Tidegate, Behaviour], bucket: str) -> None:
    """The gateway would refuse both, and the one that tidegate passes on is not what it was asked."""
    gate, line = overheard
    sent = f"GET /{bucket}/two HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    parts = urlsplit(gate.s3_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(sent.encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        answer = Answer(response.status, response.headers, response.read())
    assert (answer.status, refusal(answer)) == (400, "InvalidRequest")
    assert f"/{bucket}/two".encode() not in bytes(line.sent_by_clients)


def test_no_request_passes_without_the_clients_address(overheard: tuple[Tidegate, Behaviour], bucket: str) -> None:
    """The gateway would take `X-Real-IP` for it, or tidegate's own, whatever that is allowed. The first of the two signs
    nothing: it is only written as if."""
    gate, line = overheard
    signs, names = (
        request("GET", f"{gate.s3_url}/{bucket}/{key}?{query}", {"X-Real-IP": "203.0.113.9"})
        for key, query in (("signs", "X-Amz-SignedHeaders=host%3Bx-forwarded-for"), ("names", "x=x-forwarded-for"))
    )
    assert (signs.status, refusal(signs)) == (403, "AccessDenied")
    assert f"GET /{bucket}/signs".encode() not in bytes(line.sent_by_clients)
    assert (names.status, refusal(names)) == (404, "NoSuchKey")
    head = heard(line, f"GET /{bucket}/names")
    assert "x-forwarded-for: 127.0.0.1" in head
    assert not [field for field in head if field.startswith("x-real-ip")]


def nowhere() -> str:
    """A gateway that is not there."""
    return f"http://127.0.0.1:{free_port()}"


def test_another_gateway_is_asked_where_one_is_gone(
    front_1mb: Front, start_tidegate: StartTidegate, bucket: str
) -> None:
    gate = start_tidegate(front_1mb, s3_of(nowhere(), front_1mb.gateway.url))
    s3 = client(gate)
    content = Payload(bucket, 2 * MIB).bytes()
    s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(content))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == content


def test_a_gateway_that_hangs_is_asked_last(front_1mb: Front, start_tidegate: StartTidegate, bucket: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        gate = start_tidegate(front_1mb, s3_of(f"http://127.0.0.1:{silent.getsockname()[1]}", front_1mb.gateway.url))
        until(lambda: "does not answer" in gate.log.read_text(), "it is noticed")
        client(gate).put_object(Bucket=bucket, Key="k", Body=b"in time")
    assert object_at(front_1mb, bucket, "k") == b"in time"


def test_no_gateway_is_an_error_in_s3s_words(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb, s3_of(nowhere()), ready=False)
    for method in ("GET", "PUT"):
        answer = request(method, f"{gate.s3_url}/bucket/key")
        assert (answer.status, refusal(answer)) == (503, "ServiceUnavailable")
        assert answer.header("Retry-After") == "1"
        assert str(nowhere()).encode() not in answer.body
    answer = request("HEAD", f"{gate.s3_url}/bucket/key")
    assert (answer.status, answer.body) == (503, b"")
    ready = request("GET", f"{gate.admin_url}/readyz")
    assert ready.status == 503 and b"s3.gateway" in ready.body, ready
    log = gate.log.read_text()
    assert 'blame="gateway"' in log, log


def test_a_gateway_that_comes_back_is_used_again(front_1mb: Front, start_tidegate: StartTidegate, bucket: str) -> None:
    relay = Relay(("127.0.0.1", 0), ("127.0.0.1", front_1mb.gateway.port))
    gate = start_tidegate(front_1mb, s3_of(f"http://127.0.0.1:{relay.port}"))
    try:
        relay.drop()
        assert request("GET", f"{gate.s3_url}/{bucket}/none").status in (502, 503)
        until(lambda: request("GET", f"{gate.admin_url}/readyz").status == 503, "it is not ready")
        relay.resume()
        assert request("GET", f"{gate.s3_url}/{bucket}/none").status == 404
        until(lambda: request("GET", f"{gate.admin_url}/readyz").status == 200, "it is ready")
    finally:
        relay.stop()
