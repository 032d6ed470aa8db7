"""The status: what it tells, as JSON, as a page in a browser, and in a terminal, of a tidegate that has something to do."""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from catalogue import MIB, Catalogue, Shape
from conftest import StartTidegate
from expect import read
from harness import Encryption, Front, Tidegate, request, toml
from harness.browser import browser
from harness.tidegate import merged, run, tidegate_binary
from playwright.sync_api import Browser, Page
from terminal import Terminal
from waiting import reload, until

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLESS = os.environ.get("TIDEGATE_BLESS") == "1"
RATE = 128 << 10
SECRET = "a secret that nobody may see"


@pytest.fixture(scope="module")
def gate(front_1mb: Front, start_shared: StartTidegate) -> Tidegate:
    """One that shows paths, and lets its clients wait so that there is something to see."""
    change = {
        "admin": {"show_paths": True},
        "limits": {"bytes_per_second_per_download": RATE},
        "server": {"min_rate": "0"},
        "s3": {"gateway": [front_1mb.gateway.url]},
    }
    return start_shared(front_1mb, change)


@pytest.fixture(scope="module")
def load(gate: Tidegate, front_1mb: Front, objects: Catalogue) -> Iterator[None]:
    """Downloads of every encryption that run for as long as the tests do, by both fronts, a failed read and a relayed one."""
    over = threading.Event()

    def download(authority: str, path: str, headers: dict[str, str]) -> None:
        while not over.is_set():
            connection = HTTPConnection(authority, timeout=30)
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            while not over.is_set() and answer.read(16 << 10):
                pass
            connection.close()

    threads = []
    for number, encryption in enumerate(Encryption):
        thing = objects.sized(front_1mb, encryption, (24 + 8 * number) * MIB, name="film")
        threads.append(threading.Thread(target=download, args=(gate.listen, thing.path(), thing.key_headers)))
    film = objects.sized(front_1mb, Encryption.NONE, 24 * MIB, name="film")
    threads.append(threading.Thread(target=download, args=(gate.s3_listen, f"/things/{film.key}", {})))
    for thread in threads:
        thread.start()
    request("GET", f"{gate.url}/buckets/")
    until(lambda: len(status(gate)["downloads"]["listed"]) == len(threads), "all downloads run")
    yield
    over.set()
    for thread in threads:
        thread.join(timeout=30)


def status(gate: Tidegate) -> dict:
    """What /status.json says."""
    answer = request("GET", f"{gate.admin_url}/status.json")
    assert answer.status == 200 and answer.header("Content-Type") == "application/json"
    return json.loads(answer.body)


def test_each_download_is_told_with_its_progress(gate: Tidegate, load: None) -> None:
    until(lambda: all(one["rate"] > RATE / 4 for one in status(gate)["downloads"]["listed"]), "all have a rate")
    listed = status(gate)["downloads"]["listed"]
    assert {(one["front"], one["sse"]) for one in listed} == {
        ("filer", "none"), ("filer", "c"), ("filer", "kms"), ("filer", "s3"), ("s3", "none")
    }  # fmt: skip
    for one in listed:
        assert (one["peer"], one["method"], one["status"], one["relayed"]) == ("127.0.0.1", "GET", 200, False)
        assert 0 < one["sent"] <= one["total"] and one["total"] % MIB == 0
        assert RATE / 4 < one["rate"] < 4 * RATE and one["age"] > 0
        assert re.fullmatch(r"[0-9a-zA-Z-]{8,}", one["id"])
        assert one["path"].startswith("/buckets/things/" if one["front"] == "filer" else "/things/")


def test_what_the_daemon_has_to_do_with_is_told(gate: Tidegate, load: None, front_1mb: Front) -> None:
    told = status(gate)
    assert told["health"]["ready"] and told["uptime"] > 0 and told["build"]["version"]
    filer = told["filers"][0]
    assert (filer["address"], filer["up"], filer["used"]) == (front_1mb.filer.address, True, True)
    assert 0 < filer["latency"] < 5
    (server,) = told["volume_servers"]["listed"]
    assert (server["address"], server["state"], server["places"]) == (front_1mb.cluster.volumes[0].address, "good", 16)
    assert [(kms["name"], kms["up"]) for kms in told["kms"]] == [(name, True) for name in gate.config["kms"]["providers"]]
    memory = told["memory"]
    assert memory["limit"] == 256 * MIB and 0 < memory["taken"] <= memory["limit"] and memory["downloads"] == 5
    assert [(peer["peer"], peer["downloads"]) for peer in memory["peers"]["listed"]] == [("127.0.0.1", 5)]
    assert {cache["name"] for cache in told["caches"]} == {"entries", "locations", "data_keys", "chunks", "manifests"}
    limits = {limit["key"]: limit for limit in told["limits"]}
    assert limits["limits.bytes_per_second_per_download"]["value"] == "128KiB"
    assert limits["limits.bytes_per_second_per_download"]["hits"] >= 5
    assert limits["server.max_connections"]["value"] == str(told["connections"]["most"])
    assert told["connections"]["open"]["filer"] >= 4 and told["connections"]["open"]["s3"] >= 1
    assert told["traffic"]["served"] >= 5 and told["traffic"]["relayed"] >= 1
    until(lambda: status(gate)["traffic"]["bytes_per_second"] > RATE, "what goes out is counted")


def test_paths_and_secrets_stay_here(front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    change = {"sse_s3": {"key": SECRET}, "limits": {"bytes_per_second_per_download": RATE}}
    gate = start_tidegate(front_1mb, change)
    thing = objects.sized(front_1mb, Encryption.NONE, 24 * MIB, name="film")
    connection = HTTPConnection(gate.listen, timeout=30)
    connection.request("GET", f"{thing.path()}?token={SECRET.replace(' ', '')}")
    connection.getresponse().read(1000)
    (one,) = status(gate)["downloads"]["listed"]
    assert one["path"] is None
    pages = [request("GET", gate.admin_url + path).body.decode() for path in ("/", "/status.json")]
    config = status(gate)["config"]
    checked = run("check", "--config", gate.config_file).stdout
    assert config == checked and '"********"' in config
    for page in pages:
        assert SECRET not in page and SECRET.replace(" ", "") not in page and "film" not in page
    gate.config_file.write_text(toml.dumps(merged(gate.config, {"admin": {"show_paths": True}})))
    reload(gate)
    until(lambda: status(gate)["downloads"]["listed"][0]["path"] == thing.path(), "what is told is what is in force")
    assert "show_paths = true" in status(gate)["config"]
    connection.close()


def test_no_more_connections_are_told_of_than_there_are_files_for(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb, {"server": {"max_connections": 1_000_000}})
    status = json.loads(request("GET", gate.admin_url + "/status.json").body)
    most = (status["connections"]["most_files"] - 512) // 2
    assert status["connections"]["most"] == most
    assert {"key": "server.max_connections", "value": str(most), "hits": 0} in status["limits"]


def test_who_asks_by_a_name_of_his_own_is_told_no_more_than_a_probe(
    front_1mb: Front, start_tidegate: StartTidegate
) -> None:
    """A web page whose name leads to this port has the browser ask so."""
    gate = start_tidegate(front_1mb)
    port = gate.admin.rpartition(":")[2]

    def asked(host: str, path: str) -> int:
        return request("GET", gate.admin_url + path, {"Host": f"{host}:{port}"}).status

    for path in ("/", "/status.json", "/status/events", "/status.js", "/metrics", "/not-here"):
        assert asked("page.example", path) == 421, path
    for path in ("/healthz", "/readyz"):
        assert asked("page.example", path) == 200, path
    told = request("GET", gate.admin_url + "/", {"Host": "page.example"}).body.decode()
    assert "admin.hosts" in told and told.count("\n") == 1
    assert "name=page.example" in gate.log.read_text()
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert asked(host, "/status.json") == 200, host
    gate.config_file.write_text(toml.dumps(merged(gate.config, {"admin": {"hosts": ["page.example"]}})))
    reload(gate)
    assert (asked("page.example", "/"), asked("Page.Example", "/metrics"), asked("evil.example", "/")) == (200, 200, 421)


def test_what_is_wrong_is_said_first(front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb, {"sse_s3": {"key": "another key"}})
    until(lambda: status(gate)["health"]["problems"] == [], "all is well at first")
    assert "All is well" in request("GET", gate.admin_url + "/").body.decode()
    assert read(gate, objects.get(front_1mb, Encryption.SSE_S3, Shape.MANY)).status == 500
    until(lambda: status(gate)["health"]["problems"], "it is noticed")
    (problem,) = status(gate)["health"]["problems"]
    assert problem["severity"] == "failing" and problem["what"] == "1 answer of 5xx in the last five minutes."
    assert "Some reads fail" in request("GET", gate.admin_url + "/").body.decode()


def test_nothing_of_the_page_comes_from_elsewhere(gate: Tidegate) -> None:
    answer = request("GET", f"{gate.admin_url}/")
    assert answer.header("Content-Security-Policy").startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert answer.header("X-Content-Type-Options") == "nosniff" and answer.header("Cache-Control") == "no-store"
    page = re.sub("<pre.*</pre>", "", answer.body.decode(), flags=re.DOTALL)  # whose text names servers
    assert not re.search(r"https?://|style=|\son\w+=|<script>", page)
    for path in ("/status.css", "/status.js", "/status.svg"):
        assert f'"{path}"' in page
        text = request("GET", gate.admin_url + path).body.decode()
        assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text), path
    assert request("POST", f"{gate.admin_url}/").status == 405
    assert request("GET", f"{gate.admin_url}/status").status == 404


def test_so_many_may_watch_and_none_holds_up_the_end(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb)
    admin = urlsplit(gate.admin_url).netloc
    with ExitStack() as stack:
        watching = []
        for _ in range(16):
            connection = HTTPConnection(admin, timeout=30)
            stack.callback(connection.close)
            connection.request("GET", "/status/events")
            watching.append(connection.getresponse())
        assert {answer.status for answer in watching} == {200}
        one_more = HTTPConnection(admin, timeout=30)
        stack.callback(one_more.close)
        one_more.request("GET", "/status/events")
        refused = one_more.getresponse()
        assert refused.status == 503 and refused.getheader("Retry-After") == "5"
        first = watching[0]
        assert first.getheader("Content-Type") == "text/event-stream"
        lines = [first.readline() for _ in range(6)]
        news = json.loads(next(line for line in lines if line.startswith(b"data: "))[6:])
        assert set(news) == {"title", "verdict", "parts"} and "health" in news["parts"]
        begin = time.monotonic()
        gate.stop(10)
        assert time.monotonic() - begin < 5
        for answer in watching:
            answer.read()  # to its end: one that was cut raises IncompleteRead


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@contextmanager
def opened(chromium: Browser, gate: Tidegate, **options: object) -> Iterator[Page]:
    """The page in a window of its own. Nothing of it fails to load, is not allowed, or comes from elsewhere."""
    wrong: list[str] = []
    context = chromium.new_context(**options)
    page = context.new_page()
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith(gate.admin_url) or wrong.append(asked.url))
    page.goto(f"{gate.admin_url}/")
    yield page
    assert wrong == []
    context.close()


def becomes(page: Page, script: str, wanted: object) -> None:
    """Waits until a script gives that."""
    deadline = time.monotonic() + 10
    while page.evaluate(script) != wanted:
        assert time.monotonic() < deadline, f"{script}: {page.evaluate(script)!r}"
        page.wait_for_timeout(50)


WINDOWS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 1000}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 1000}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5},
}


LIVE = "document.getElementById('live').textContent"
SENT = "Array.from(document.querySelectorAll('#downloads progress'), (bar) => bar.value).join()"


@pytest.mark.parametrize("window", WINDOWS)
def test_the_page_can_be_read_by_everybody(window: str, gate: Tidegate, load: None, chromium: Browser) -> None:
    with opened(chromium, gate, **WINDOWS[window]) as page:
        becomes(page, LIVE, "Live,")
        page.wait_for_timeout(2500)  # until rates are of what goes on now
        assert page.title() == "All is well · tidegate"
        rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = Axe().run(page, options={"runOnly": rules})
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the window"
        if BLESS:
            page.screenshot(path=DOCS / f"status-{window}.png")


def test_the_page_goes_on_by_itself_until_it_is_paused(gate: Tidegate, load: None, chromium: Browser) -> None:
    with opened(chromium, gate) as page:
        before = page.evaluate(SENT)
        becomes(page, f"{SENT} !== {before!r}", True)
        assert page.evaluate("document.getElementById('announce').textContent") == "", "numbers are not read out"
        # By keyboard: first what leads past the header, then the button.
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "pause"
        page.keyboard.press("Enter")
        assert page.get_by_role("button", name="Pause", pressed=True).is_visible()
        stopped = page.evaluate(SENT)
        page.wait_for_timeout(2200)
        assert page.evaluate(SENT) == stopped
        page.keyboard.press("Enter")
        becomes(page, f"{SENT} !== {stopped!r}", True)


def test_the_page_says_when_the_daemon_has_gone(
    front_1mb: Front, start_tidegate: StartTidegate, chromium: Browser
) -> None:
    gate = start_tidegate(front_1mb)
    page = chromium.new_context().new_page()
    page.goto(f"{gate.admin_url}/")
    becomes(page, LIVE, "Live,")
    gate.stop(5)
    becomes(page, LIVE, "No connection; this was at")
    page.context.close()


def test_without_scripts_the_page_is_whole(gate: Tidegate, load: None, chromium: Browser) -> None:
    with opened(chromium, gate, java_script_enabled=False) as page:
        assert page.locator("#downloads tbody tr").count() == 5
        assert page.get_by_role("heading", name="All is well").is_visible()
        assert page.get_by_role("link", name="The same as JSON").is_visible()
        assert not page.locator("#pause").is_visible()


def top(gate: Tidegate, *options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return run("top", "--url", gate.admin_url, *options, env=env)


def test_top_prints_the_same_once(gate: Tidegate, load: None) -> None:
    done = top(gate, "--once", env={"COLUMNS": "120"})
    assert done.returncode == 0 and done.stderr == ""
    assert "all is well" in done.stdout and "\x1b" not in done.stdout
    assert done.stdout.count("/buckets/things/") == 4 and done.stdout.count(" of 24.0 MiB") == 2
    assert max(map(len, done.stdout.splitlines())) <= 120
    narrow = top(gate, "--once", env={"COLUMNS": "40"})
    assert max(map(len, narrow.stdout.splitlines())) <= 40
    by_config = run("top", "--once", "--config", gate.config_file)
    assert by_config.returncode == 0 and "all is well" in by_config.stdout


def test_top_says_what_is_wrong_where_there_is_nobody() -> None:
    done = run("top", "--once", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1 and "is the daemon running" in done.stderr and done.stderr.count("\n") == 1
    assert run("top", "--once", "--url", "127.0.0.1:1").returncode == 2


def test_top_in_a_terminal_goes_on_until_q(gate: Tidegate, load: None, tmp_path: Path) -> None:
    with closing(Terminal([str(tidegate_binary()), "top", "--url", gate.admin_url], tmp_path)) as terminal:
        terminal.see("\x1b[?1049h")
        terminal.see("\x1b[32mall is well")
        for _ in range(2):
            terminal.see("\x1b[H")
        terminal.type("q")
        terminal.see("\x1b[?1049l")
