"""Programs of S3 through the S3 front, as people use them."""

import base64
import hashlib

from conftest import MIB, Shop
from harness.s3 import ACCESS_KEY, SECRET_KEY

SIZE = 18 * MIB + 77
"""More than each of them sends in one piece."""
KEY = hashlib.sha256(b"a customer's key of a program").digest()


def test_aws_cli(shop: Shop) -> None:
    aws = ("aws", "--endpoint-url", shop.url)
    source = shop.file("there/large", SIZE)
    for number in range(5):
        shop.file(f"there/deep/{number}", 300_000 + number)
    where = f"s3://{shop.bucket}"
    shop.run(*aws, "s3", "sync", "there", f"{where}/synced")
    with shop.served(6):
        shop.run(*aws, "s3", "sync", f"{where}/synced", "back")
    for path in (shop.directory / "there").rglob("*"):
        if path.is_file():
            assert (shop.directory / "back" / path.relative_to(shop.directory / "there")).read_bytes() == path.read_bytes()
    assert shop.run(*aws, "s3", "sync", f"{where}/synced", "back") == b"", "nothing is new"
    (shop.directory / "key").write_bytes(KEY)
    customer = ("--sse-c", "AES256", "--sse-c-key", "fileb://key")
    shop.run(*aws, "s3", "cp", source, f"{where}/customer", *customer)
    with shop.served(1):
        assert shop.run(*aws, "s3", "cp", f"{where}/customer", "-", *customer) == source.read_bytes()
    asked = ("--bucket", shop.bucket, "--key", "synced/large")
    with shop.served(1):
        shop.run(*aws, "s3api", "get-object", *asked, "--range", "bytes=1000000-1999999", "part")
    assert (shop.directory / "part").read_bytes() == source.read_bytes()[1_000_000:2_000_000]
    url = shop.run(*aws, "s3", "presign", f"{where}/synced/large").decode().strip()
    with shop.served(2):
        assert shop.run("curl", "-sf", url) == source.read_bytes()
        assert shop.run("curl", "-sf", "-r", "5-300", url) == source.read_bytes()[5:301]
    shop.run(*aws, "s3", "rm", "--recursive", where)
    assert shop.run(*aws, "s3", "ls", "--recursive", where, "--summarize").split()[:3] == [b"Total", b"Objects:", b"0"]


def test_curl_that_signs(shop: Shop) -> None:
    source = shop.file("f", 2 * MIB)
    url = f"{shop.url}/{shop.bucket}/f"
    signs = ("--aws-sigv4", "aws:amz:us-east-1:s3", "-u", f"{ACCESS_KEY}:{SECRET_KEY}", "-sf")
    unsigned = ("-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD")
    shop.run("curl", *signs, *unsigned, "-T", source, url)
    with shop.served(1):
        assert shop.run("curl", *signs, *unsigned, url) == source.read_bytes()


def test_rclone(shop: Shop) -> None:
    remote = {
        "RCLONE_CONFIG_SEA_TYPE": "s3",
        "RCLONE_CONFIG_SEA_PROVIDER": "Other",
        "RCLONE_CONFIG_SEA_ENDPOINT": shop.url,
        "RCLONE_CONFIG_SEA_ENV_AUTH": "true",
        "RCLONE_CONFIG_SEA_FORCE_PATH_STYLE": "true",
    }
    source = shop.file("there/large", SIZE)
    shop.file("there/small", 12)
    where = f"sea:{shop.bucket}"
    shop.run("rclone", "copy", "there", f"{where}/plain", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", **remote)
    with shop.served(2):
        shop.run("rclone", "check", "--download", "there", f"{where}/plain", **remote)
    with shop.served(1):
        some = shop.run("rclone", "cat", "--offset", "1000000", "--count", "500000", f"{where}/plain/large", **remote)
    assert some == source.read_bytes()[1_000_000:1_500_000]
    with shop.served(1):
        shop.run("rclone", "sync", f"{where}/plain", "back", "--multi-thread-cutoff", "5M", **remote)
    assert (shop.directory / "back/large").read_bytes() == source.read_bytes()
    customer = {
        "RCLONE_S3_SSE_CUSTOMER_ALGORITHM": "AES256",
        "RCLONE_S3_SSE_CUSTOMER_KEY_BASE64": base64.b64encode(KEY).decode(),
    }
    shop.run("rclone", "copyto", "there/large", f"{where}/customer", **remote, **customer)
    with shop.served(1):
        assert shop.run("rclone", "cat", f"{where}/customer", **remote, **customer) == source.read_bytes()


def test_rclone_that_encrypts_besides(shop: Shop) -> None:
    obscured = shop.run("rclone", "obscure", "a password").decode().strip()
    remote = {
        "RCLONE_CONFIG_SEA_TYPE": "s3",
        "RCLONE_CONFIG_SEA_PROVIDER": "Other",
        "RCLONE_CONFIG_SEA_ENDPOINT": shop.url,
        "RCLONE_CONFIG_SEA_ENV_AUTH": "true",
        "RCLONE_CONFIG_DARK_TYPE": "crypt",
        "RCLONE_CONFIG_DARK_REMOTE": f"sea:{shop.bucket}",
        "RCLONE_CONFIG_DARK_PASSWORD": obscured,
    }
    source = shop.file("there/large", SIZE)
    shop.run("rclone", "copy", "there", "dark:", **remote)
    with shop.served(1):
        shop.run("rclone", "check", "--download", "there", "dark:", **remote)
    with shop.served(1):
        some = shop.run("rclone", "cat", "--offset", "9000000", "--count", "70000", "dark:large", **remote)
    assert some == source.read_bytes()[9_000_000:9_070_000]


def test_s3cmd(shop: Shop) -> None:
    address = shop.url.removeprefix("http://")
    s3cmd = ("s3cmd", "--no-ssl", f"--host={address}", f"--host-bucket={address}", "--region=us-east-1")
    s3cmd += (f"--access_key={ACCESS_KEY}", f"--secret_key={SECRET_KEY}", "--no-progress")
    source, where = shop.file("large", SIZE), f"s3://{shop.bucket}/large"
    shop.run(*s3cmd, "put", "--multipart-chunk-size-mb=5", source, where)
    with shop.served(1):
        shop.run(*s3cmd, "get", where, "back")
    assert (shop.directory / "back").read_bytes() == source.read_bytes()
    (shop.directory / "broken").write_bytes(source.read_bytes()[: 7 * MIB])
    with shop.served(1):
        shop.run(*s3cmd, "get", "--continue", where, "broken")
    assert (shop.directory / "broken").read_bytes() == source.read_bytes()
    assert where.encode() in shop.run(*s3cmd, "ls", f"s3://{shop.bucket}")
    shop.run(*s3cmd, "del", where)
