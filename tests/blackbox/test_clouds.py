"""SSE-KMS with Google Cloud KMS and Azure Key Vault.

Neither service can be had for tests, and SeaweedFS 4.48 loses bytes of what they wrap. So an object of the real gateway
gets another envelope: its data key, wrapped by a small server that answers as the service's documentation says.
"""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogue import Catalogue, Object
from conftest import StartTidegate
from expect import error_code, json_error, read, same_bytes
from harness import Encryption, Front, Kms, request
from harness.clouds import CLIENT_SECRET, Cloud, GoogleKms, KeyVault, Refused
from harness.entry_tool import change_entry
from harness.tidegate import run
from waiting import until

DENIED = {"gcp": GoogleKms.refused(403, "PERMISSION_DENIED"), "azure": KeyVault.refused(403, "Forbidden")}
MISSING = {"gcp": GoogleKms.refused(404, "NOT_FOUND"), "azure": KeyVault.refused(404, "KeyNotFound")}
DISABLED = {
    "gcp": GoogleKms.refused(400, "FAILED_PRECONDITION"),
    "azure": KeyVault.refused(403, "Forbidden", "KeyDisabled"),
}
THROTTLED = {"gcp": GoogleKms.refused(429, "RESOURCE_EXHAUSTED"), "azure": KeyVault.refused(429, "Throttled")}
DOWN = {"gcp": GoogleKms.refused(503, "UNAVAILABLE"), "azure": KeyVault.refused(503, "ServiceUnavailable")}


@pytest.fixture(scope="module", params=[GoogleKms, KeyVault], ids=lambda cloud: cloud.kind)
def service(request: pytest.FixtureRequest) -> Iterator[GoogleKms | KeyVault]:
    """Each service."""
    made = request.param()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def cloud(service: GoogleKms | KeyVault) -> GoogleKms | KeyVault:
    """The same, well-behaved."""
    service.reset()
    return service


def block(cloud: Cloud, root: Path, **more: object) -> dict[str, object]:
    """tidegate's `kms` table for a service."""
    if isinstance(cloud, GoogleKms):
        file = str(cloud.account(root))
        provider = {"type": "gcp", "project_id": "tests", "credentials_file": file, "endpoint": cloud.address}
    else:
        login = {"tenant_id": "tenant", "client_id": "client", "client_secret": CLIENT_SECRET}
        provider = {"type": "azure", "vault_url": cloud.address, "authority_host": cloud.address, **login}
    return {"kms": {"cache_ttl": "0s", "providers": {"cloud": {"max_retries": 1, **provider, **more}}}}


def metadata_of(thing: Object) -> dict[str, object]:
    """The metadata of its first chunk, as the gateway wrote it."""
    entry = json.loads(request("GET", f"{thing.front.filer.url}{thing.path()}?metadata=true").body)
    return json.loads(base64.b64decode(entry["chunks"][0]["sse_metadata"]))


def rewrapped(
    front: Front, kms: Kms, objects: Catalogue, cloud: GoogleKms | KeyVault, *, lossy: bool = False
) -> Object:
    """An object of one chunk whose data key the service has wrapped. `lossy`: stored as SeaweedFS 4.48 does."""
    thing = objects.sized(front, Encryption.SSE_KMS, 50_000, f"by-{cloud.kind}-{'lossy' if lossy else 'whole'}")
    metadata = metadata_of(thing)
    envelope = json.loads(base64.b64decode(str(metadata["encryptedDataKey"])))
    if envelope["provider"] != "aws":  # of an earlier test
        return thing
    context = metadata.get("encryptionContext") or {}
    blob = base64.b64decode(envelope["ciphertext"])
    plain = kms.client().decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"]
    key_id, wrapped = cloud.wrap(plain, context)  # type: ignore[arg-type]
    text = wrapped.decode(errors="replace") if lossy else base64.b64encode(wrapped).decode()
    envelope |= {"provider": cloud.kind, "key_id": key_id, "ciphertext": text}
    metadata |= {
        "keyId": key_id,
        "encryptedDataKey": base64.b64encode(json.dumps(envelope, ensure_ascii=False).encode()).decode(),
    }
    raw = json.dumps(metadata).encode()
    grpc = f"{front.filer.host}:{front.filer.grpc_port}"
    change_entry(grpc, thing.path(), sse_metadata=raw, extended={"x-seaweedfs-sse-kms-key": raw})
    return thing


def test_a_data_key_that_the_service_wrapped_opens(
    front_1mb: Front, kms: Kms, objects: Catalogue, cloud: Cloud, start_tidegate: StartTidegate, tmp_path: Path
) -> None:
    thing = rewrapped(front_1mb, kms, objects, cloud)
    gate = start_tidegate(front_1mb, block(cloud, tmp_path))
    for _ in range(3):
        same_bytes(read(gate, thing).body, thing.content)
    assert (cloud.asked.count("login"), cloud.asked.count("decrypt")) == (1, 3)
    same_bytes(read(gate, thing, Range="bytes=100-299").body, thing.content[100:300])
    explained = run("explain", "--config", gate.config_file, thing.path())
    assert explained.returncode == 0 and cloud.kind in explained.stdout, explained.stderr


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (DENIED, 403, {"gcp": "PERMISSION_DENIED", "azure": "Forbidden"}),
        (MISSING, 403, {"gcp": "NOT_FOUND", "azure": "KeyNotFound"}),
        (DISABLED, 409, {"gcp": "FAILED_PRECONDITION", "azure": "KeyDisabled"}),
        (THROTTLED, 503, {"gcp": "RESOURCE_EXHAUSTED", "azure": "Throttled"}),
        (DOWN, 503, {"gcp": "UNAVAILABLE", "azure": "ServiceUnavailable"}),
    ],
    ids=["denied", "missing", "disabled", "throttled", "down"],
)
def test_refusals_are_told_apart(
    front_1mb: Front,
    kms: Kms,
    objects: Catalogue,
    cloud: Cloud,
    start_tidegate: StartTidegate,
    tmp_path: Path,
    fault: dict[str, Refused],
    status: int,
    code: dict[str, str],
) -> None:
    thing = rewrapped(front_1mb, kms, objects, cloud)
    gate = start_tidegate(front_1mb, block(cloud, tmp_path))
    cloud.fault = fault[cloud.kind]
    answer = read(gate, thing)
    assert (answer.status, error_code(answer)) == (status, code[cloud.kind]), answer.body
    assert "cloud" in json_error(answer)
    assert (answer.header("Retry-After") != "") == (status == 503)
    assert cloud.asked.count("decrypt") == (2 if status == 503 else 1)
    cloud.fault = None
    # One that was down is tried again in some seconds.
    deadline = time.monotonic() + 20
    while (answer := read(gate, thing)).status == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    same_bytes(answer.body, thing.content)


def test_tokens_are_renewed_before_they_end(
    front_1mb: Front, kms: Kms, objects: Catalogue, cloud: Cloud, start_tidegate: StartTidegate, tmp_path: Path
) -> None:
    thing = rewrapped(front_1mb, kms, objects, cloud)
    gate = start_tidegate(front_1mb, block(cloud, tmp_path, max_retries=0))
    cloud.lifetime = 3

    def renewed() -> bool:
        assert read(gate, thing).status == 200
        return cloud.asked.count("login") >= 3

    until(renewed, "a token was renewed twice", timeout=20)
    cloud.lifetime = 3600
    assert read(gate, thing).status == 200


def test_what_lost_bytes_is_refused_with_the_reason(
    front_1mb: Front, kms: Kms, objects: Catalogue, cloud: Cloud, start_tidegate: StartTidegate, tmp_path: Path
) -> None:
    thing = rewrapped(front_1mb, kms, objects, cloud, lossy=True)
    answer = read(start_tidegate(front_1mb, block(cloud, tmp_path)), thing)
    assert (answer.status, error_code(answer)) == (403, "InvalidCiphertext")
    assert "lost bytes" in json_error(answer)
    assert cloud.asked == []


def test_secrets_are_not_said(
    front_1mb: Front, kms: Kms, objects: Catalogue, cloud: Cloud, start_tidegate: StartTidegate, tmp_path: Path
) -> None:
    thing = rewrapped(front_1mb, kms, objects, cloud)
    gate = start_tidegate(front_1mb, {**block(cloud, tmp_path), "log": {"level": "trace"}})
    assert read(gate, thing).status == 200
    cloud.fault = DENIED[cloud.kind]
    refused = read(gate, thing)
    gate.stop()
    said = gate.log.read_bytes() + refused.body + run("check", "--config", gate.config_file).stdout.encode()
    assert b"logged in to the KMS" in said
    secrets = [*cloud.tokens, CLIENT_SECRET]
    if isinstance(cloud, GoogleKms):
        secrets += cloud.private_key.splitlines()[1:-1]
    for secret in secrets:
        assert secret.encode() not in said, "a secret was written down"


def test_wrong_credentials_blame_the_configuration(
    front_1mb: Front, kms: Kms, objects: Catalogue, cloud: Cloud, start_tidegate: StartTidegate, tmp_path: Path
) -> None:
    thing = rewrapped(front_1mb, kms, objects, cloud)
    wrong = block(cloud, tmp_path, **({"client_secret": "another"} if isinstance(cloud, KeyVault) else {}))
    if isinstance(cloud, GoogleKms):
        file = tmp_path / "account.json"
        account = json.loads(file.read_text())
        file.write_text(json.dumps({**account, "private_key": GoogleKms().private_key}))
    answer = read(start_tidegate(front_1mb, wrong), thing)
    assert answer.status == 500
    code, words = {
        "gcp": ("invalid_grant", "Invalid JWT Signature"),
        "azure": ("invalid_client", "AADSTS7000215"),
    }[cloud.kind]
    assert error_code(answer) == code and words in json_error(answer)
    assert cloud.asked == []
