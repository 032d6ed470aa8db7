"""Programs that people use: each writes, reads whole and in part, and compares, by tidegate alone."""

import hashlib
import io
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig
from minio import Minio
from minio.sse import SseS3

from bucket import Bucket
from harness import Encryption, Payload
from harness.s3 import ACCESS_KEY, SECRET_KEY, sse_arguments
from objects import CUSTOMER_KEY, MIB, Writer
from people import READER, s3_client, session
from sides import Sides

BUCKET = "clients"
CONTENT = Payload("what clients read", 9 * MIB + 123).bytes()


@pytest.fixture(scope="module")
def bucket_of_clients(sides: Sides) -> str:
    """The bucket of this file."""
    Bucket(sides, BUCKET).do("PUT", "")
    return BUCKET


@pytest.fixture(scope="module")
def s3(listen: str, bucket_of_clients: str):
    """boto3 as it comes."""
    return s3_client(listen)


@pytest.mark.parametrize("encryption", Encryption, ids=lambda encryption: encryption.title)
def test_boto3_transfers(s3, writer: Writer, encryption: Encryption) -> None:
    """In parts, eight at a time, as its transfer manager does."""
    key = f"transferred-{encryption.value}"
    sse = sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=writer.kms_key_id)
    eight = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=8)
    s3.upload_fileobj(io.BytesIO(CONTENT), BUCKET, key, ExtraArgs=sse, Config=eight)
    opens = {name: value for name, value in sse.items() if name.startswith("SSECustomer")}
    small = TransferConfig(multipart_threshold=MIB, multipart_chunksize=MIB, max_concurrency=8)
    got = io.BytesIO()
    s3.download_fileobj(BUCKET, key, got, ExtraArgs=opens, Config=small)
    assert got.getvalue() == CONTENT
    body = s3.get_object(Bucket=BUCKET, Key=key, **opens)["Body"]  # its checksum is looked at by boto3
    assert hashlib.sha256(body.read()).digest() == hashlib.sha256(CONTENT).digest()


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_presigned_by_boto3(listen: str, s3, signature: str) -> None:
    """A URL that anybody may fetch, whole and in part."""
    s3.put_object(Bucket=BUCKET, Key="by url", Body=CONTENT, ServerSideEncryption="AES256")
    old = s3_client(listen, signature_version=signature)
    url = old.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "by url"}, ExpiresIn=100)
    assert urllib.request.urlopen(url, timeout=30).read() == CONTENT
    part = urllib.request.Request(url, headers={"Range": "bytes=1000000-1000999"})
    with urllib.request.urlopen(part, timeout=30) as answer:
        assert (answer.status, answer.read()) == (206, CONTENT[1_000_000:1_001_000])
    put = old.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "put by url"}, ExpiresIn=100)
    request = urllib.request.Request(put, data=CONTENT[:1000], method="PUT", headers={"Content-Type": ""})
    urllib.request.urlopen(request, timeout=30).read()
    assert s3.get_object(Bucket=BUCKET, Key="put by url")["Body"].read() == CONTENT[:1000]


def test_session_made_by_tidegate(listen: str, cases: Bucket) -> None:
    """STS is asked by tidegate too."""
    who = session(f"http://{listen}", READER)
    mine = s3_client(listen, who)
    assert len(mine.get_object(Bucket="cases", Key="public/a")["Body"].read()) == 70_001
    with pytest.raises(mine.exceptions.ClientError, match="403|AccessDenied"):
        mine.get_object(Bucket="cases", Key="private/a")


def test_minio(listen: str, s3) -> None:
    """MinIO's own client."""
    mine = Minio(endpoint=listen, access_key=ACCESS_KEY, secret_key=SECRET_KEY, secure=False, region="us-east-1")
    mine.put_object(bucket_name=BUCKET, object_name="minio", data=io.BytesIO(CONTENT), length=len(CONTENT), sse=SseS3())
    assert mine.get_object(bucket_name=BUCKET, object_name="minio").read() == CONTENT
    part = mine.get_object(bucket_name=BUCKET, object_name="minio", offset=2 * MIB, length=77)
    assert part.read() == CONTENT[2 * MIB : 2 * MIB + 77]
    with urllib.request.urlopen(mine.presigned_get_object(bucket_name=BUCKET, object_name="minio"), timeout=30) as answer:
        assert answer.read() == CONTENT


def test_s3cmd(listen: str, s3, tmp_path: Path) -> None:
    """Puts, gets, goes on where it stopped, syncs; with the signatures of both versions."""

    def s3cmd(*arguments: str | Path) -> None:
        where = [f"--host={listen}", f"--host-bucket={listen}", "--no-ssl", "--region=us-east-1"]
        who = [f"--access_key={ACCESS_KEY}", f"--secret_key={SECRET_KEY}", f"--config={tmp_path}/none"]
        program = Path(sys.executable).parent / "s3cmd"
        argv = [sys.executable, str(program), *where, *who, *map(str, arguments)]
        environment = {**os.environ, "HOME": str(tmp_path)}
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=environment)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    (tmp_path / "none").write_text("")
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent/large").write_bytes(CONTENT)
    (tmp_path / "sent/small").write_bytes(CONTENT[:99])
    s3cmd("sync", "--server-side-encryption", f"{tmp_path}/sent/", f"s3://{BUCKET}/s3cmd/")
    s3cmd("sync", f"s3://{BUCKET}/s3cmd/", f"{tmp_path}/got/")
    assert (tmp_path / "got/large").read_bytes() == CONTENT
    assert (tmp_path / "got/small").read_bytes() == CONTENT[:99]
    (tmp_path / "half").write_bytes(CONTENT[: 4 * MIB])
    s3cmd("get", "--continue", f"s3://{BUCKET}/s3cmd/large", tmp_path / "half")
    assert (tmp_path / "half").read_bytes() == CONTENT
    s3cmd("--signature-v2", "get", f"s3://{BUCKET}/s3cmd/small", tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == CONTENT[:99]
