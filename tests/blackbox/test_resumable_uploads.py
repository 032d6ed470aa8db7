"""Resumable uploads (tus) at a filer that keeps them elsewhere than at `/.tus`."""

import base64
from urllib.parse import urlsplit

from conftest import StartTidegate
from harness import Cluster, Payload, request

TUS = {"Tus-Resumable": "1.0.0"}


def test_an_upload_is_resumed_where_the_filer_keeps_uploads_elsewhere(
    cluster: Cluster, start_tidegate: StartTidegate
) -> None:
    front = cluster.add_front("tus", maxMB=1, tusBasePath="/resumable")
    gate = start_tidegate(front)
    content = Payload("resumed", 300_000).bytes()
    name = base64.b64encode(b"file").decode()
    made = request(
        "POST",
        f"{gate.url}/resumable/kept/file",
        {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}", "Content-Length": "0"},
    )
    assert made.status == 201, made.body
    upload = gate.url + urlsplit(made.header("Location")).path

    def send(start: int, end: int) -> int:
        headers = {**TUS, "Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
        return request("PATCH", upload, headers, content[start:end]).status

    assert send(0, 100_000) == 204
    asked = request("HEAD", upload, TUS)
    assert (asked.status, asked.header("Upload-Offset")) == (200, "100000")
    assert send(100_000, len(content)) == 204
    assert request("GET", f"{gate.url}/kept/file").body == content
    assert request("HEAD", f"{gate.url}/kept/none", TUS).status == 404
