"""Libraries of S3 through the S3 front: they read Parquet in pieces, out of objects that are encrypted."""

from conftest import MIB, Shop

TABLE = """
import os
import pyarrow as pa, pyarrow.parquet as pq
URL, BUCKET = os.environ["ENDPOINT"], os.environ["BUCKET"]
ADDRESS = URL.removeprefix("http://")
ACCESS, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
rows = 400_000
table = pa.table({"n": range(rows), "text": [f"row {n * 7919 % rows}" for n in range(rows)], "half": [n / 2 for n in range(rows)]})

def same(read):
    assert read.num_rows == rows and read.equals(table.select(read.column_names)), "not the table that was written"
"""


def test_pyarrow(shop: Shop) -> None:
    """The SDK for C++."""
    with shop.served(4):
        shop.script(
            TABLE
            + """
from pyarrow import fs
s3 = fs.S3FileSystem(access_key=ACCESS, secret_key=SECRET, endpoint_override=ADDRESS, scheme="http", region="us-east-1")
pq.write_table(table, f"{BUCKET}/t.parquet", filesystem=s3, row_group_size=50_000)
same(pq.read_table(f"{BUCKET}/t.parquet", filesystem=s3))
same(pq.read_table(f"{BUCKET}/t.parquet", filesystem=s3, columns=["half"]))
"""
        )


def test_s3fs(shop: Shop) -> None:
    """aiobotocore, with a customer's key."""
    with shop.served(3):
        shop.script(
            TABLE
            + """
import s3fs
key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))}
s3 = s3fs.S3FileSystem(endpoint_url=URL, s3_additional_kwargs=key)
with s3.open(f"{BUCKET}/t.parquet", "wb") as out:
    pq.write_table(table, out)
same(pq.read_table(f"{BUCKET}/t.parquet", filesystem=s3))
same(pq.read_table(f"{BUCKET}/t.parquet", filesystem=s3, columns=["text"]))
with s3.open(f"{BUCKET}/t.parquet", "rb") as again:
    again.seek(-4, 2)
    assert again.read() == b"PAR1"
"""
        )


def test_object_store(shop: Shop) -> None:
    """The library for Rust that DataFusion, Polars and delta-rs read with."""
    with shop.served(4):
        shop.script(
            TABLE
            + """
import io, obstore
from obstore.store import S3Store
from obstore.fsspec import FsspecStore
how = dict(endpoint=URL, access_key_id=ACCESS, secret_access_key=SECRET, region="us-east-1",
           virtual_hosted_style_request=False, client_options={"allow_http": True})
s3 = S3Store(BUCKET, **how)
out = io.BytesIO()
pq.write_table(table, out)
whole = out.getvalue()
obstore.put(s3, "t.parquet", whole)
assert bytes(obstore.get(s3, "t.parquet").bytes()) == whole
assert bytes(obstore.get_range(s3, "t.parquet", start=1000, end=90_000)) == whole[1000:90_000]
pieces = obstore.get_ranges(s3, "t.parquet", starts=[0, 2_000_000], ends=[10, 2_000_100])
assert [bytes(piece) for piece in pieces] == [whole[:10], whole[2_000_000:2_000_100]]
same(pq.read_table(f"{BUCKET}/t.parquet", filesystem=FsspecStore("s3", **how)))
assert obstore.head(s3, "t.parquet")["size"] == len(whole)
obstore.delete(s3, "t.parquet")
"""
        )


def test_minio(shop: Shop) -> None:
    source = shop.file("large", 18 * MIB + 77)
    with shop.served(3):
        shop.script(
            f"""
import os
from minio import Minio
from minio.sse import SseS3
client = Minio(endpoint=os.environ["ENDPOINT"].removeprefix("http://"), access_key=os.environ["AWS_ACCESS_KEY_ID"],
               secret_key=os.environ["AWS_SECRET_ACCESS_KEY"], secure=False, region="us-east-1")
bucket = os.environ["BUCKET"]
client.fput_object(bucket_name=bucket, object_name="large", file_path={str(source)!r}, sse=SseS3(), part_size=5 << 20)
client.fget_object(bucket_name=bucket, object_name="large", file_path="back")
content = open({str(source)!r}, "rb").read()
assert open("back", "rb").read() == content
part = client.get_object(bucket_name=bucket, object_name="large", offset=1_000_000, length=500_000)
assert part.read() == content[1_000_000:1_500_000]
import urllib.request
url = client.presigned_get_object(bucket_name=bucket, object_name="large")
assert urllib.request.urlopen(url).read() == content
assert [each.object_name for each in client.list_objects(bucket_name=bucket)] == ["large"]
"""
        )
