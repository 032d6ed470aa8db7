"""The S3 front over TLS, before a gateway that speaks TLS too."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from conftest import StartTidegate
from harness import CustomerKey, Encryption, Front, Payload, Tidegate, request, weed
from harness.authority import Authority
from harness.http2 import http2
from harness.s3 import ACCESS_KEY, SECRET_KEY, sse_arguments
from waiting import until

MIB = 1 << 20
SSE = sse_arguments(Encryption.SSE_C, customer_key=CustomerKey.from_seed("over TLS"))


@pytest.fixture(scope="module")
def gateway(front_1mb: Front, root: Path, authority: Authority) -> Iterator[str]:
    """The URL of a gateway on the filer of `front_1mb` that speaks TLS only."""
    admin = {"name": "admin", "actions": ["Admin"], "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]}
    certificate, key = authority.issue("s3")
    options = {"cert.file": certificate, "key.file": key}
    with ExitStack() as stack:
        server = weed.s3(root, "s3-tls", front_1mb.filer.full_address, {"identities": [admin]}, options, {})
        server.scheme = "https"
        stack.callback(server.stop)
        server.start()
        server.wait_ready(lambda: weed.answers(server.url + "/healthz"))
        yield server.url


@pytest.fixture(scope="module")
def over_tls(authority: Authority) -> dict[str, str]:
    """What tidegate's own listeners speak TLS with."""
    certificate, key = authority.issue("tidegate-s3")
    return {"tls_cert": str(certificate), "tls_key": str(key)}


@pytest.fixture(scope="module")
def gate(
    front_1mb: Front, gateway: str, over_tls: dict[str, str], authority: Authority, start_shared: StartTidegate
) -> Tidegate:
    """A tidegate that trusts the gateway's authority."""
    return start_shared(front_1mb, {"server": over_tls, "s3": {"gateway": [gateway], "gateway_ca": str(authority.ca)}})


@pytest.fixture
def s3(gate: Tidegate, authority: Authority):
    """A client of tidegate."""
    return boto3.client(
        "s3",
        endpoint_url=f"https://{gate.s3_listen}",
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        verify=str(authority.ca),
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def test_a_policy_that_asks_for_tls_is_told_of_it(gate: Tidegate, s3) -> None:
    s3.create_bucket(Bucket="tls-only")
    content = Payload("tls", 2 * MIB).bytes()
    s3.put_object(Bucket="tls-only", Key="k", Body=content, **SSE)
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::tls-only", "arn:aws:s3:::tls-only/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket="tls-only", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    served = gate.metrics().sum("tidegate_s3_served_total")
    assert s3.get_object(Bucket="tls-only", Key="k", **SSE)["Body"].read() == content
    assert gate.metrics().sum("tidegate_s3_served_total") == served + 1
    statement["Condition"] = {"Bool": {"aws:SecureTransport": "true"}}
    s3.put_bucket_policy(Bucket="tls-only", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    with pytest.raises(s3.exceptions.ClientError, match="403|AccessDenied"):
        s3.get_object(Bucket="tls-only", Key="k", **SSE)


def test_http2(gate: Tidegate, s3, authority: Authority) -> None:
    s3.create_bucket(Bucket="tls-http2")
    content = Payload("http2", 2 * MIB).bytes()

    def target(operation: str) -> str:
        url = urlsplit(s3.generate_presigned_url(operation, {"Bucket": "tls-http2", "Key": "k"}))
        return f"{url.path}?{url.query}"

    context = authority.client()
    length = {"content-length": str(len(content))}
    assert http2(gate.s3_listen, "PUT", target("put_object"), length, content, context=context)[0] == "200"
    status, body = http2(gate.s3_listen, "GET", target("get_object"), {}, context=context)
    assert (status, body == content) == ("200", True)


def test_a_gateway_that_is_not_trusted_is_not_asked(
    front_1mb: Front, gateway: str, over_tls: dict[str, str], root: Path, start_tidegate: StartTidegate
) -> None:
    stranger = Authority(root / "stranger", "stranger")
    table = {"gateway": [gateway], "gateway_ca": str(stranger.ca)}
    gate = start_tidegate(front_1mb, {"server": over_tls, "s3": table}, ready=False)
    until(lambda: "does not answer" in gate.log.read_text(), "it is noticed")
    answer = request("GET", f"https://{gate.s3_listen}/bucket/key")
    assert (answer.status, ET.fromstring(answer.body).findtext("Code")) == (503, "ServiceUnavailable")
    assert request("GET", f"{gate.admin_url}/readyz").status == 503
    assert "certificate" in gate.log.read_text().lower()
