"""The cluster's own files and wrapped keys stay where they are."""

import json
from collections.abc import Iterator

import pytest
from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import json_error
from harness import Encryption, Front, Tidegate, request
from harness.jsonp import JsonpFiler
from harness.wire import exchange

SECRET = b"0123456789abcdef" * 4
FILES = ["/etc/iam/secret.json", "/topics/.system/secret"]


@pytest.fixture(scope="module", autouse=True)
def files(front_1mb: Front) -> None:
    """Files with a secret in them, written at the filer itself."""
    for path in FILES:
        assert request("PUT", front_1mb.filer.url + path, body=SECRET).status == 201


def spellings(path: str) -> list[str]:
    """Ways to write a path that the filer, or something that cleans more than it does, may take for it."""
    first, _, rest = path[1:].partition("/")
    return [
        path,
        f"/{path}",
        f"//{first}//{rest}",
        f"/./{first}/./{rest}",
        f"/x/../{first}/{rest}",
        f"/%{ord(first[0]):x}{first[1:]}/{rest}",
        f"/%{ord(first[0]):X}{first[1:]}/{rest}",
        f"/{first}%2F{rest}",
        f"/{first}%2f{rest}",
        f"/x/%2e%2e/{first}/{rest}",
        f"/x%2F..%2F{first}/{rest}",
        f"/{first}%2F{{/../{rest}",
        f"/x/{{/%2e%2e/../{first}/{rest}",
        f"/%2F{first}/{rest}",
        f"/{first}/x/../{rest}",
        f"{path}/",
        f"{path}?metadata=true",
        f"{path}?dl=1&jwt=x",
    ]


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_spelling_gets_a_system_file(gate_1mb: Tidegate, path: str, method: str) -> None:
    for target in spellings(path):
        lines = f"{method} {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        answer = exchange(gate_1mb.listen, lines.encode())
        assert b" 403 " in answer.split(b"\r\n")[0], target
        assert SECRET not in answer


def test_nor_their_directories(gate_1mb: Tidegate) -> None:
    for path in ("/etc", "/etc/", "/etc/iam/", "/topics/.system", "/topics/.system/"):
        answer = request("GET", gate_1mb.url + path, {"Accept": "application/json"})
        assert answer.status == 403
        assert "access.system_paths" in json_error(answer)


def test_nor_by_way_of_a_copy_or_a_move(gate_1mb: Tidegate, front_1mb: Front) -> None:
    odd = "cp.from=/x/..%2Fetc/iam/secret.json"
    for query in (f"cp.from={FILES[0]}", odd, f"mv.from={FILES[0]}", "mv.from=/etc", "mv.from=/topics", "mv.from=/"):
        for method in ("POST", "PUT"):
            assert request(method, f"{gate_1mb.url}/stolen?{query}").status == 403, query
    assert request("GET", gate_1mb.url + "/stolen").status == 404
    assert request("GET", front_1mb.filer.url + FILES[0]).body == SECRET


def test_names_alike_are_served(gate_1mb: Tidegate, front_1mb: Front) -> None:
    for path in ("/etcetera/x", "/a/etc/x", "/topics/mine/x", "/topics/.systematic"):
        assert request("PUT", front_1mb.filer.url + path, body=b"free").status == 201
        assert request("GET", gate_1mb.url + path).body == b"free"


def test_the_setting_opens_them(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb, {"access": {"system_paths": True}})
    for path in FILES:
        assert request("GET", gate.url + path).body == SECRET


PUBLIC = {"x-seaweedfs-sse-kms-key-id", "x-seaweedfs-sse-s3-encryption"}  # S3's own headers say the same


def secrets_of(entry: dict) -> list[str]:
    """The values that hold wrapped keys, as the filer shows them."""
    extended = entry.get("Extended") or {}
    names = [name for name in extended if name.lower().startswith("x-seaweedfs-sse-") and name.lower() not in PUBLIC]
    chunks = [chunk.get("sse_metadata") for chunk in entry.get("chunks") or []]
    return [value for value in [extended[name] for name in names] + chunks if value]


@pytest.mark.parametrize("encryption", [Encryption.SSE_C, Encryption.SSE_KMS, Encryption.SSE_S3], ids=lambda e: e.title)
@pytest.mark.parametrize("shape", [Shape.BYTE, Shape.MANY, Shape.MULTIPART], ids=lambda s: s.value)
@pytest.mark.parametrize("pretty", ["", "&pretty=y"])
def test_metadata_keeps_wrapped_keys_to_itself(
    front_1mb: Front, objects: Catalogue, gate_1mb: Tidegate, encryption: Encryption, shape: Shape, pretty: str
) -> None:
    path = objects.get(front_1mb, encryption, shape).path()
    query = f"?metadata=true{pretty}"
    at_filer = request("GET", front_1mb.filer.url + path + query)
    hidden = secrets_of(json.loads(at_filer.body))
    assert hidden
    answer = request("GET", gate_1mb.url + path + query)
    assert answer.status == 200
    entry = json.loads(answer.body)
    assert secrets_of(entry) == []
    assert not any(value.encode() in answer.body for value in hidden)
    # All else is as it was, to the length.
    assert len(answer.body) == len(at_filer.body)
    shown = json.loads(at_filer.body)
    assert entry["FullPath"] == shown["FullPath"]
    assert [chunk.get("file_id") for chunk in entry.get("chunks") or []] == [
        chunk.get("file_id") for chunk in shown.get("chunks") or []
    ]


def test_nor_does_a_listing_show_them(front_1mb: Front, objects: Catalogue, gate_1mb: Tidegate) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_KMS, Shape.MANY)
    directory = thing.path().rpartition("/")[0] + "/"
    as_json = {"Accept": "application/json"}
    hidden = [
        value
        for entry in json.loads(request("GET", front_1mb.filer.url + directory, as_json).body)["Entries"]
        for value in secrets_of(entry)
    ]
    assert any(len(value) > 8 for value in hidden)
    answer = request("GET", gate_1mb.url + directory, as_json)
    entries = json.loads(answer.body)["Entries"]
    assert thing.path() in [entry["FullPath"] for entry in entries]
    assert [secrets_of(entry) for entry in entries] == [[] for _ in entries]
    # Other tests wrote keys of a byte or two, which any checksum in base64 may end with.
    assert not [value for value in hidden if len(value) > 8 and value.encode() in answer.body]


@pytest.fixture(scope="module")
def jsonp(front_1mb: Front) -> Iterator[JsonpFiler]:
    """The filer as versions before 4.30 were."""
    filer = JsonpFiler(front_1mb.filer.url)
    yield filer
    filer.stop()


FORM = (
    {"Content-Type": "multipart/form-data; boundary=b", "Accept": "application/json"},
    b'--b\r\nContent-Disposition: form-data; name="callback"\r\n\r\n"\r\n--b--\r\n',
)
CALLBACKS = {
    "a name": ("callback=f", ({"Accept": "application/json"}, None)),
    "a quote, which turns strings and what is between them around": (
        "callback=%22",
        ({"Accept": "application/json"}, None),
    ),
    "an escaped name": ("%63allback=f", ({"Accept": "application/json"}, None)),
    "in a form": ("x=y", FORM),
}


@pytest.mark.parametrize("way", CALLBACKS)
def test_nor_does_a_callback_get_them_out(
    front_1mb: Front, objects: Catalogue, jsonp: JsonpFiler, start_tidegate: StartTidegate, way: str
) -> None:
    query, (headers, body) = CALLBACKS[way]
    path = objects.get(front_1mb, Encryption.SSE_KMS, Shape.MANY).path()
    grpc = front_1mb.filer.grpc_port
    gate = start_tidegate(front_1mb, {"filer": {"addresses": [f"{jsonp.address}.{grpc}"]}})
    hidden = secrets_of(json.loads(request("GET", f"{front_1mb.filer.url}{path}?metadata=true").body))
    for target in (f"{path}?metadata=true&{query}", f"{path.rpartition('/')[0]}/?{query}"):
        at_filer = request("GET", jsonp.url + target, headers, body)
        assert at_filer.headers["Content-Type"] == "application/javascript"
        assert any(value.encode() in at_filer.body for value in hidden)
        answer = request("GET", gate.url + target, headers, body)
        assert answer.status == 400, target
        assert "script" in json_error(answer)


def test_what_hides_nothing_passes_unchanged(front_1mb: Front, objects: Catalogue, gate_1mb: Tidegate) -> None:
    path = objects.get(front_1mb, Encryption.NONE, Shape.MANY).path() + "?metadata=true"
    assert request("GET", gate_1mb.url + path).body == request("GET", front_1mb.filer.url + path).body
    content = b'{"sse_metadata":"c2VjcmV0","x-seaweedfs-sse-kms-key":"mine"}'
    url = "/plain/data.json"
    assert request("PUT", front_1mb.filer.url + url, {"Content-Type": "application/json"}, content).status == 201
    assert request("GET", gate_1mb.url + url).body == content
