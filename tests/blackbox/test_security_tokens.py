"""Read tokens on a cluster that demands them: tidegate takes and refuses what the filer takes and refuses."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import json_error, same_bytes
from harness import Encryption, Front, Kms, Tidegate, request
from harness.nginx import Nginx
from harness.secured import FILER_READ_KEY, FILER_WRITE_KEY, secured_cluster, security_of, signing_keys
from harness.tokens import base64url, token

NEVER = 4_000_000_000
VOLUME_LIFETIME = 2  # seconds


def good(**claims: object) -> str:
    """A token that the filer takes."""
    return token(FILER_READ_KEY, {"exp": NEVER, **claims})


@pytest.fixture(scope="module")
def front(root: Path, kms: Kms) -> Iterator[Front]:
    """A filer and a gateway of a cluster with all four signing keys."""
    with secured_cluster(root / "with-tokens", signing_keys(VOLUME_LIFETIME), kms) as cluster:
        yield cluster.front


@pytest.fixture(scope="module")
def gate(front: Front, start_shared: StartTidegate) -> Tidegate:
    """A tidegate with the cluster's security.toml."""
    return start_shared(front, security_of(front))


def shifted(seconds: float) -> int:
    return int(time.time() + seconds)


BUCKET_PATH = "/buckets/things"
TOKENS = {
    "no claims": token(FILER_READ_KEY, {}),
    "good": good(),
    "HS384": token(FILER_READ_KEY, {}, alg="HS384"),
    "HS512": token(FILER_READ_KEY, {}, alg="HS512"),
    "none": token(FILER_READ_KEY, {}, alg="none"),
    "RS256 by name": token(FILER_READ_KEY, {}, head={"alg": "RS256"}),
    "hs256 in small letters": token(FILER_READ_KEY, {}, head={"alg": "hs256"}),
    "no alg": token(FILER_READ_KEY, {}, head={"typ": "JWT"}),
    "no typ": token(FILER_READ_KEY, {}, head={"alg": "HS256"}),
    "odd typ": token(FILER_READ_KEY, {}, head={"alg": "HS256", "typ": 7, "kid": [1]}),
    "write key": token(FILER_WRITE_KEY, {}),
    "empty key": token("", {}),
    "over": token(FILER_READ_KEY, {"exp": shifted(-1)}),
    "over by an hour": token(FILER_READ_KEY, {"exp": shifted(-3600)}),
    "exp 0": token(FILER_READ_KEY, {"exp": 0}),
    "exp null": token(FILER_READ_KEY, {"exp": None}),
    "exp as text": token(FILER_READ_KEY, {"exp": str(NEVER)}),
    "exp as text, over": token(FILER_READ_KEY, {"exp": "5"}),
    "exp as words": token(FILER_READ_KEY, {"exp": "tomorrow"}),
    "exp with a fraction": token(FILER_READ_KEY, {"exp": NEVER + 0.5}),
    "exp as 1e10": token(FILER_READ_KEY, '{"exp":1e10}'),
    "exp true": token(FILER_READ_KEY, {"exp": True}),
    "exp in capitals, over": token(FILER_READ_KEY, {"EXP": 5}),
    "exp twice": token(FILER_READ_KEY, f'{{"exp":5,"exp":{NEVER}}}'),
    "exp twice, over": token(FILER_READ_KEY, f'{{"exp":{NEVER},"Exp":5}}'),
    "nbf passed": token(FILER_READ_KEY, {"nbf": shifted(-5)}),
    "nbf to come": token(FILER_READ_KEY, {"nbf": shifted(3600)}),
    "iat to come": token(FILER_READ_KEY, {"iat": shifted(3600)}),
    "iss a number": token(FILER_READ_KEY, {"iss": 1}),
    "aud a list": token(FILER_READ_KEY, {"aud": ["a", "b"]}),
    "aud a number": token(FILER_READ_KEY, {"aud": 1}),
    "more claims": token(FILER_READ_KEY, {"fid": "3,01", "x": {"y": [1]}}),
    "GET": good(allowed_methods=["GET"]),
    "HEAD": good(allowed_methods=["HEAD"]),
    "get": good(allowed_methods=["get"]),
    "PUT and DELETE": good(allowed_methods=["PUT", "DELETE"]),
    "no methods": good(allowed_methods=[]),
    "methods null": good(allowed_methods=None),
    "methods as text": good(allowed_methods="GET"),
    "prefix of the bucket": good(allowed_prefixes=[BUCKET_PATH]),
    "prefix with a slash": good(allowed_prefixes=[BUCKET_PATH + "/"]),
    "prefix of the root": good(allowed_prefixes=["/"]),
    "prefix of half a name": good(allowed_prefixes=["/buckets/thi"]),
    "prefix of another": good(allowed_prefixes=["/other"]),
    "one of two prefixes": good(allowed_prefixes=["/other", BUCKET_PATH]),
    "prefix with dots": good(allowed_prefixes=["/x/../buckets//things/."]),
    "prefix without a slash": good(allowed_prefixes=["buckets"]),
    "prefix that is a dot": good(allowed_prefixes=["."]),
    "empty prefix": good(allowed_prefixes=[""]),
    "prefix null": good(allowed_prefixes=[None]),
    "no prefixes": good(allowed_prefixes=[]),
    "prefix a number": good(allowed_prefixes=[1]),
    "prefix in capitals": good(Allowed_Prefixes=["/other"]),
    "a list": token(FILER_READ_KEY, "[]"),
    "no JSON": token(FILER_READ_KEY, "{"),
    "text behind": token(FILER_READ_KEY, "{} x"),
    "two parts": good().rsplit(".", 1)[0],
    "four parts": good() + ".x",
    "no signature": good().rsplit(".", 1)[0] + ".",
    "padded": good() + "=",
    "half": good()[:-9],
    "words": "let me in",
    "empty": "",
}


def statuses(front: Front, gate: Tidegate, method: str, target: str, headers: dict[str, str]) -> tuple[int, int]:
    at_filer = request(method, front.filer.url + target, headers).status
    return at_filer, request(method, gate.url + target, headers).status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", TOKENS)
def test_every_token_is_taken_as_the_filer_takes_it(
    front: Front, objects: Catalogue, gate: Tidegate, name: str, method: str
) -> None:
    path = objects.get(front, Encryption.NONE, Shape.BLOCK_AND_BYTE).path()
    # A file, read here; one that is not there; a directory and an entry's metadata, relayed.
    for target in (path, path + "-not", BUCKET_PATH + "/", path + "?metadata=true"):
        at_filer, here = statuses(front, gate, method, target, {"Authorization": f"Bearer {TOKENS[name]}"})
        assert here == at_filer, target


def test_the_table_has_both_kinds(front: Front, objects: Catalogue) -> None:
    """Lest the comparison compare refusals only."""
    url = front.filer.url + objects.get(front, Encryption.NONE, Shape.BLOCK_AND_BYTE).path()
    seen = [request("GET", url, {"Authorization": f"Bearer {given}"}).status for given in TOKENS.values()]
    assert set(seen) == {200, 401}
    assert min(seen.count(200), seen.count(401)) > 15


def test_a_changed_last_letter_is_taken_as_the_filer_takes_it(
    front: Front, objects: Catalogue, gate: Tidegate
) -> None:
    """The last letter of 32 bytes in base64 has two bits that count for nothing."""
    path = objects.get(front, Encryption.NONE, Shape.BLOCK_AND_BYTE).path()
    seen = set()
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        at_filer, here = statuses(front, gate, "GET", path, {"Authorization": f"Bearer {good()[:-1]}{letter}"})
        assert here == at_filer, letter
        seen.add(at_filer)
    assert 401 in seen


OVER = token(FILER_READ_KEY, {"exp": 5})
PLACES = {
    "header": ("", {"Authorization": f"Bearer {good()}"}),
    "header in small letters": ("", {"authorization": f"bearer {good()}"}),
    "header with a colon": ("", {"Authorization": f"Bearer:{good()}"}),
    "header with two blanks": ("", {"Authorization": f"Bearer  {good()}"}),
    "header without scheme": ("", {"Authorization": good()}),
    "header of another scheme": ("", {"Authorization": f"Token {good()}"}),
    "query": (f"?jwt={good()}", {}),
    "query among others": (f"?a=b&jwt={good()}&c", {}),
    "query before header": (f"?jwt={OVER}", {"Authorization": f"Bearer {good()}"}),
    "good query before header": (f"?jwt={good()}", {"Authorization": f"Bearer {OVER}"}),
    "empty query": ("?jwt=", {"Authorization": f"Bearer {good()}"}),
    "first of two in the query": (f"?jwt={good()}&jwt={OVER}", {}),
    "query in capitals": (f"?JWT={good()}", {}),
    "query with a semicolon": (f"?jwt={good()};x", {}),
    "escaped query": (f"?%6awt={good().replace('.', '%2E')}", {}),
    "cookie": ("", {"Cookie": f"AT={good()}"}),
    "cookie among others": ("", {"Cookie": f'a=b; AT="{good()}"; c=d'}),
    "cookie in small letters": ("", {"Cookie": f"at={good()}"}),
    "header before cookie": ("", {"Authorization": f"Bearer {OVER}", "Cookie": f"AT={good()}"}),
    "short header and cookie": ("", {"Authorization": "Bearer", "Cookie": f"AT={good()}"}),
    "basic and cookie": ("", {"Authorization": "Basic dTpw", "Cookie": f"AT={good()}"}),
    "nowhere": ("", {}),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_token_is_looked_for_where_the_filer_looks(
    front: Front, objects: Catalogue, gate: Tidegate, name: str
) -> None:
    query, headers = PLACES[name]
    path = objects.get(front, Encryption.NONE, Shape.BLOCK_AND_BYTE).path()
    at_filer, here = statuses(front, gate, "GET", path + query, headers)
    assert here == at_filer


SPELLINGS = [
    "/buckets/things/../things/{key}",
    "/buckets//things/{key}",
    "/buckets/other/../things/{key}",
    "/buckets/things/x/../../things/{key}",
    "/%62uckets/things/{key}",
    "/buckets/things/%2e%2e/things/{key}",
    "/buckets%2Fthings/{key}",
    "/other/%2e%2e/buckets/things/{key}",
    "/buckets/thing/{key}",
    "/buckets/things/../../etc/passwd",
    "/",
    "//",
    "/x/..",
    "/%2f",
    "/?proxyChunkId=",
    "/healthz",
    "/favicon.ico",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("prefix", ["/buckets/things", "/other", ""])
def test_every_spelling_of_a_path_is_let_in_as_at_the_filer(
    front: Front, objects: Catalogue, start_tidegate: StartTidegate, gate: Tidegate, spelling: str, prefix: str
) -> None:
    key = objects.get(front, Encryption.NONE, Shape.BLOCK_AND_BYTE).key
    headers = {"Authorization": f"Bearer {good(allowed_prefixes=[prefix])}"} if prefix else {}
    at_filer, here = statuses(front, gate, "GET", spelling.format(key=key), headers)
    # What is refused for its path alone (403) has shown a token that holds.
    assert (here == 401) == (at_filer == 401)


CHUNK_TOKENS = {
    "none": ("", {}),
    "header": ("", {"Authorization": f"Bearer {good()}"}),
    "query": (f"&jwt={good()}", {}),
    "cookie": ("", {"Cookie": f"AT={good()}"}),
    "prefix of the root": ("", {"Authorization": f"Bearer {good(allowed_prefixes=['/'])}"}),
    "prefix of the bucket": ("", {"Authorization": f"Bearer {good(allowed_prefixes=[BUCKET_PATH])}"}),
    "over": ("", {"Authorization": f"Bearer {token(FILER_READ_KEY, {'exp': 5})}"}),
    "write key": ("", {"Authorization": f"Bearer {token(FILER_WRITE_KEY, {})}"}),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", CHUNK_TOKENS)
def test_a_chunk_the_root_and_listings_take_the_token_that_the_filer_takes(
    front: Front, objects: Catalogue, gate: Tidegate, name: str, method: str
) -> None:
    thing = objects.get(front, Encryption.NONE, Shape.BLOCK_AND_BYTE)
    metadata = request("GET", f"{front.filer.url}{thing.path()}?metadata=true&jwt={good()}").body
    chunk = json.loads(metadata)["chunks"][0]["file_id"]
    query, headers = CHUNK_TOKENS[name]
    for target in (
        f"/?proxyChunkId={chunk}{query}",
        f"//?proxyChunkId={chunk}{query}",
        f"/?proxyChunkId=3,x{query}",
        f"/?x=y{query}",
        f"/?metadata=true{query}",
        f"{BUCKET_PATH}/?x=y{query}",
    ):
        at_filer = request(method, front.filer.url + target, headers)
        answer = request(method, gate.url + target, headers)
        assert answer.status == at_filer.status, target
        if "proxyChunkId" in target and at_filer.status == 200:
            assert answer.body == at_filer.body
    # Lest both refuse everything.
    expected = 200 if name in ("header", "query", "cookie", "prefix of the root") else 401
    assert request(method, f"{gate.url}/?proxyChunkId={chunk}{query}", headers).status == expected


def bearer(given: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {given}"}


WRITE = token(FILER_WRITE_KEY, {"exp": NEVER})
MINE = BUCKET_PATH + "/mine"  # in the same bucket: the filer moves nothing out of one


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("operation", ["mv.from", "cp.from"])
@pytest.mark.parametrize(
    "spelling", ["{path}", "/{path}", "{mine}/../{key}", "{mine}/%2e%2e/{key}", "{mine}/..%2F{key}", "{path}&{op}={mine}/x"]
)
def test_who_may_write_somewhere_may_not_read_it_by_way_of_a_copy_or_a_move(
    front: Front, objects: Catalogue, start_tidegate: StartTidegate, operation: str, method: str, spelling: str
) -> None:
    """Under the caller's own prefix tidegate would decrypt it for the caller's own read token."""
    front_url, mine = front.filer.url, good(allowed_prefixes=[MINE])
    thing = objects.get(front, Encryption.SSE_KMS, Shape.BYTE)
    gate = start_tidegate(front, {**security_of(front), "access": {"managed_keys": "jwt"}})
    assert request("GET", gate.url + thing.path(), bearer(mine)).status == 401
    source = spelling.format(path=thing.path(), key=thing.key, mine=MINE, op=operation)
    stolen = f"{MINE}/stolen?{operation}={source}"
    # The write token lets the filer do it; the read token stands where the filer does not look.
    for headers, query in ((bearer(WRITE), ""), (bearer(mine), f"&jwt={WRITE}"), (bearer(WRITE) | at(mine), "")):
        answer = request(method, f"{gate.url}{stolen}{query}", headers)
        stolen_content = request("GET", f"{gate.url}{MINE}/stolen", bearer(mine)).body
        assert stolen_content != thing.content, query
        assert answer.status == 401, query
        assert "read token" in json_error(answer)
    assert request("GET", f"{front_url}{MINE}/stolen", bearer(good())).status == 404
    assert request("GET", front_url + thing.path(), bearer(good())).status == 200


def at(given: str) -> dict[str, str]:
    return {"Cookie": f"AT={given}"}


def test_who_may_read_the_source_may_copy_and_move_it(front: Front, gate: Tidegate) -> None:
    for name in "abc":
        assert request("PUT", f"{gate.url}/source/{name}", bearer(WRITE), b"x").status == 201
    mine = good(allowed_prefixes=["/source"], allowed_methods=["GET"])
    moved = [
        request("POST", f"{gate.url}/target/a?mv.from=/source/a", bearer(WRITE) | at(mine)),
        request("PUT", f"{gate.url}/target/b?mv.from=/source/b&jwt={WRITE}", bearer(mine)),
    ]
    assert [answer.status for answer in moved] == [204, 204]
    for name in "ab":
        assert request("GET", f"{gate.url}/target/{name}", bearer(good())).body == b"x"
    head = good(allowed_methods=["HEAD"])
    assert request("POST", f"{gate.url}/target/c?mv.from=/source/c", bearer(WRITE) | at(head)).status == 401


def test_a_refusal_says_what_the_filer_says_and_why(front: Front, objects: Catalogue, gate: Tidegate) -> None:
    url = gate.url + objects.get(front, Encryption.NONE, Shape.BLOCK_AND_BYTE).path()
    assert json_error(request("GET", url)).startswith("wrong jwt: the request brings no read token")
    expired = request("GET", url, {"Authorization": f"Bearer {OVER}"})
    assert json_error(expired) == "wrong jwt: the token has expired; get a new one"
    assert OVER not in gate.log.read_text() and FILER_READ_KEY not in gate.log.read_text()


@pytest.mark.parametrize("encryption", list(Encryption), ids=lambda e: e.title)
@pytest.mark.parametrize("shape", [Shape.BYTE, Shape.MANY, Shape.MULTIPART], ids=lambda s: s.value)
def test_volume_servers_get_tokens_that_are_minted_here(
    front: Front, objects: Catalogue, gate: Tidegate, encryption: Encryption, shape: Shape
) -> None:
    thing = objects.get(front, encryption, shape)
    answer = request("GET", gate.url + thing.path(), {"Authorization": f"Bearer {good()}", **thing.key_headers})
    assert answer.status == 200
    same_bytes(answer.body, thing.content)


def test_a_volume_token_is_minted_anew_for_each_read(front: Front, objects: Catalogue, gate: Tidegate) -> None:
    thing = objects.get(front, Encryption.SSE_C, Shape.MANY)
    headers = {"Authorization": f"Bearer {good()}", **thing.key_headers}
    for _ in range(2):
        assert request("GET", gate.url + thing.path(), headers).body == thing.content
        time.sleep(VOLUME_LIFETIME + 1)  # the life of the tokens of the first read, on the volume server's clock
    same_bytes(request("GET", gate.url + thing.path(), headers).body, thing.content)


def test_without_the_key_volume_servers_refuse(front: Front, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    """The caller's own token is for the filer: it is not passed on in place of one that is missing."""
    thing = objects.get(front, Encryption.NONE, Shape.MANY)
    gate = start_tidegate(front, env={"WEED_JWT_FILER_SIGNING_READ_KEY": FILER_READ_KEY})
    answer = request("GET", gate.url + thing.path(), {"Authorization": f"Bearer {good()}"})
    assert answer.status in (502, 503)
    assert "401" in json_error(answer)


def test_the_environment_is_enough(front: Front, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    thing = objects.get(front, Encryption.NONE, Shape.MANY)
    keys = signing_keys()["jwt"]
    env = {
        "WEED_JWT_FILER_SIGNING_READ_KEY": keys["filer_signing"]["read"]["key"],
        "WEED_JWT_SIGNING_READ_KEY": keys["signing"]["read"]["key"],
    }
    gate = start_tidegate(front, env=env)
    assert request("GET", gate.url + thing.path()).status == 401
    same_bytes(request("GET", gate.url + thing.path(), {"Authorization": f"Bearer {good()}"}).body, thing.content)


@pytest.mark.parametrize("encryption", [Encryption.SSE_KMS, Encryption.SSE_S3], ids=lambda e: e.title)
def test_managed_keys_for_who_brings_a_token(
    front: Front, objects: Catalogue, start_tidegate: StartTidegate, encryption: Encryption
) -> None:
    thing = objects.get(front, encryption, Shape.BLOCK_AND_BYTE)
    gate = start_tidegate(front, {**security_of(front), "access": {"managed_keys": "jwt"}})
    assert request("GET", gate.url + thing.path()).status == 401
    bad = {"Authorization": f"Bearer {OVER}"}
    assert request("GET", gate.url + thing.path(), bad).status == 401
    answer = request("GET", gate.url + thing.path(), {"Authorization": f"Bearer {good()}"})
    assert (answer.status, answer.body) == (200, thing.content)


def test_writes_are_the_filers_to_judge(front: Front, gate: Tidegate) -> None:
    write = {"Authorization": f"Bearer {token(FILER_WRITE_KEY, {'exp': NEVER})}"}
    url = gate.url + "/written/through.txt"
    assert request("PUT", url, body=b"x").status == 401
    assert request("PUT", url, {"Authorization": f"Bearer {good()}"}, b"x").status == 401
    assert request("PUT", url, write, b"x").status == 201
    assert request("GET", url, write).status == 401
    assert request("GET", url, {"Authorization": f"Bearer {good()}"}).body == b"x"


def test_helpers_make_tokens_as_the_rfc_shows() -> None:
    """RFC 7515, A.1: the header, without the line break that it has there."""
    assert base64url(b'{"typ":"JWT"}') == "eyJ0eXAiOiJKV1QifQ"


def test_a_cache_in_front_hands_nobody_what_a_token_was_needed_for(
    front: Front, objects: Catalogue, gate: Tidegate, tmp_path: Path, start_tidegate: StartTidegate
) -> None:
    plain = objects.get(front, Encryption.NONE, Shape.MANY)
    bringing = [{"Authorization": f"Bearer {good()}"}, {"Cookie": f"AT={good()}"}]
    shared = start_tidegate(front, {**security_of(front), "access": {"shared_caches": True}})
    for number, (opened, kept) in enumerate(((gate, "MISS"), (shared, "HIT"))):
        cache = Nginx(tmp_path / str(number), opened.url)
        cache.start()
        try:
            for headers in bringing:
                for path in (plain.path(), "/buckets/things/", plain.path() + "?metadata=true"):
                    first, again = (request("GET", cache.url + path, headers) for _ in range(2))
                    assert (first.status, again.status) == (200, 200)
                    # Where the operator lets it, the cache keeps one for each token.
                    assert again.header("X-Cache") == kept
                    assert request("GET", cache.url + path).status == 401
        finally:
            cache.stop(1.0)


def test_answers_given_for_a_token_say_so(front: Front, objects: Catalogue, gate: Tidegate) -> None:
    path, bearer = objects.get(front, Encryption.NONE, Shape.MANY).path(), {"Authorization": f"Bearer {good()}"}
    etag = request("HEAD", gate.url + path, bearer).header("ETag")
    for method, at, headers, status in [
        ("GET", path, bearer, 200),
        ("GET", path, {**bearer, "Range": "bytes=1-2"}, 206),
        ("HEAD", path, bearer, 200),
        ("GET", path, {**bearer, "If-None-Match": etag}, 304),
        ("GET", path + "-not-there", bearer, 404),
        ("GET", f"{path}?jwt={good()}", {}, 200),
        ("GET", path, {}, 401),
    ]:
        answer = request(method, gate.url + at, headers)
        assert answer.status == status
        said = (answer.header("Cache-Control"), answer.header("Vary"))
        assert said == ("private", "authorization, cookie"), (method, status)
