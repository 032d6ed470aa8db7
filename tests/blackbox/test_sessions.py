"""The sessions that pages show, line by line: what a reader types does here what the page says."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from harness import CustomerKey, Front, request
from harness.ports import free_port
from harness.s3 import ACCESS_KEY, SECRET_KEY, Encryption, sse_arguments
from harness.tidegate import REPO
from session import Shell, Step, blocks, steps
from waiting import until

README = REPO / "README.md"
START = REPO / "docs/start.md"
KEY = CustomerKey.from_seed("the key of the picture")
# The head of a JPEG is enough for `file`.
PICTURE = bytes.fromhex("ffd8ffe000104a46494600010100000100010000") + b"a cat" * 50_000


class Session:
    """A page's addresses are those of servers here, in what is typed and in what is shown."""

    def __init__(self, front: Front, shell: Callable[[Mapping[str, str]], Shell], directory: Path) -> None:
        self.directory = directory
        listen, admin, s3 = (f"127.0.0.1:{free_port()}" for _ in range(3))
        self.admin = f"http://{admin}"
        self._here = {
            "127.0.0.1:8888": front.filer.address,
            "127.0.0.1:8333": front.gateway.url.removeprefix("http://"),
            "127.0.0.1:8880": listen,
            "127.0.0.1:8881": admin,
            "127.0.0.1:8870": s3,
            "/etc/tidegate/tidegate.toml": "tidegate.toml",
            "/etc/tidegate/credentials": str(directory / "credentials"),
            "/usr/share/doc/tidegate/examples": str(REPO / "deploy"),
        }
        self.shell = shell(
            {
                "TIDEGATE_SERVER__LISTEN": listen,
                "TIDEGATE_SERVER__ADMIN": admin,
                "KEY": KEY.base64,
                "KEY_MD5": KEY.md5,
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_DEFAULT_REGION": "us-east-1",
            }
        )

    def here(self, text: str) -> str:
        for theirs, ours in self._here.items():
            text = text.replace(theirs, ours)
        return text

    def follow(self, step: Step) -> None:
        """Does one step, and compares. A file that is shown is a file that the reader has written."""
        step = Step(self.here(step.command), self.here(step.shown))
        program, *arguments = step.command.split()
        if program == "cat":
            (self.directory / arguments[0]).write_text(step.shown + "\n")
        printed = self.shell.run(step.command)
        assert step.agrees(printed), f"$ {step.command}\n{printed}\nbut the page says:\n{step.shown}\n{self.shell.log()}"
        if step.command.endswith("&"):
            until(self._ready, "tidegate is ready", 20)

    def _ready(self) -> bool:
        try:
            return request("GET", f"{self.admin}/readyz").status == 200
        except OSError:
            return False


@pytest.fixture
def start_session(tmp_path: Path) -> Iterator[Callable[[Front], Session]]:
    """Sits down before a front."""
    shells: list[Shell] = []

    def shell(env: Mapping[str, str]) -> Shell:
        shells.append(Shell(tmp_path, env))
        return shells[-1]

    yield lambda front: Session(front, shell, tmp_path)
    for each in shells:
        each.end()


@pytest.fixture
def session(front_1mb: Front, start_session: Callable[[Front], Session], tmp_path: Path) -> Session:
    """A bucket with an encrypted picture, and a shell."""
    if "photos" not in [bucket["Name"] for bucket in front_1mb.s3.client.list_buckets()["Buckets"]]:
        front_1mb.s3.create_bucket("photos")
    made = start_session(front_1mb)
    (tmp_path / "cat.jpg").write_bytes(PICTURE)
    (tmp_path / "key").write_bytes(KEY.raw)
    # What is encrypted may by chance look like something.
    for _ in range(100):
        front_1mb.s3.put("photos", "cat.jpg", PICTURE, **sse_arguments(Encryption.SSE_C, customer_key=KEY))
        if made.shell.run(f"curl -s {front_1mb.filer_url('photos', 'cat.jpg')} | file -").strip() == "/dev/stdin: data":
            break
    return made


def test_the_readme(session: Session) -> None:
    first, second = map(steps, blocks(README, "console"))
    assert len(first) == 7 and len(second) == 1
    for step in first:
        session.follow(step)


def test_the_readme_by_s3(session: Session) -> None:
    first, second = map(steps, blocks(README, "console"))
    (table,) = blocks(README, "toml")
    filer = first[0].shown
    session.follow(Step("cat tidegate.toml", f"{filer}\n{table}"))
    session.follow(Step("tidegate --config tidegate.toml &", ""))
    for step in second:
        session.follow(step)


def test_the_first_ten_minutes(front_1mb: Front, start_session: Callable[[Front], Session], tmp_path: Path) -> None:
    """The gateway has its key of SSE-S3 from its environment. systemd, which is not here, has the service started."""
    session = start_session(front_1mb)
    (tmp_path / "beach.jpg").write_bytes(PICTURE)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/sse_s3_key").write_text(front_1mb.kek.gateway_env["WEED_S3_SSE_KEY"] + "\n")
    configure, *rest = map(steps, blocks(START, "console"))
    assert len(configure) == 3 and sum(map(len, rest)) == 8
    for step in configure:
        session.follow(step)
    session.follow(Step("tidegate --config tidegate.toml &", ""))
    for step in sum(rest, []):
        session.follow(step)
