"""The command line and the configuration: what is refused, how, and what is never shown."""

import re
import socket
from pathlib import Path

import pytest
from harness.tidegate import run

SECRET = "do-not-show-this-secret"
GOOD = """\
[server]
listen = "127.0.0.1:8880"
admin = "127.0.0.1:8881"

[filer]
addresses = ["127.0.0.1:8888", "127.0.0.1:8889.18900"]

[access]
managed_keys = "any"

[prefetch]
window = 4
memory = "64MiB"

[sse_s3]
key = "do-not-show-this-secret"

[kms]
default_provider = "main"

[kms.providers.main]
type = "aws"
region = "us-east-1"
endpoint = "http://127.0.0.1:5555"
access_key = "AKIAEXAMPLE"
secret_key = "do-not-show-this-secret"
"""


@pytest.fixture
def config(tmp_path: Path):
    """Writes a configuration and answers its path."""

    def write(text: str = GOOD) -> Path:
        path = tmp_path / "tidegate.toml"
        path.write_text(text)
        return path

    return write


def refused(done, *named: str) -> None:
    """One line on stderr that names all of `named`, nothing on stdout, exit code 2."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in named:
        assert word in done.stderr, f"{word} is not in: {done.stderr}"
    assert SECRET not in done.stderr


def test_check_prints_the_configuration_without_secrets(config) -> None:
    done = run("check", "--config", config())
    assert (done.returncode, done.stderr) == (0, "")
    assert SECRET not in done.stdout
    for shown in ("127.0.0.1:8880", "127.0.0.1:8888", "64MiB", "us-east-1", "managed_keys", "secret_key"):
        assert shown in done.stdout, shown


def test_check_shows_defaults_too(config) -> None:
    done = run("check", "--config", config('[filer]\naddresses = ["127.0.0.1:8888"]\n'))
    assert done.returncode == 0, done
    for line in ('managed_keys = "none"', 'window = "auto"', 'memory = "256MiB"', 'listen = "127.0.0.1:8880"'):
        assert line in done.stdout, line


def test_the_environment_is_laid_over_the_file(config) -> None:
    environment = {"TIDEGATE_SERVER__LISTEN": "127.0.0.1:9990", "TIDEGATE_ACCESS__MANAGED_KEYS": "none"}
    done = run("check", "--config", config(), env=environment)
    assert done.returncode == 0, done
    assert "127.0.0.1:9990" in done.stdout and "127.0.0.1:8880" not in done.stdout
    assert 'managed_keys = "none"' in done.stdout


def test_a_secret_comes_from_a_file(config, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET + "\n")
    done = run("check", "--config", config(GOOD.replace(f'key = "{SECRET}"', 'key_file = "key"', 1)))
    assert done.returncode == 0, done
    assert SECRET not in done.stdout


def test_a_secret_comes_from_the_environment(config) -> None:
    done = run("check", "--config", config(), env={"TIDEGATE_SSE_S3__KEY": SECRET + "-of-the-environment"})
    assert done.returncode == 0, done
    assert SECRET not in done.stdout + done.stderr


BAD = {
    "unknown key": (GOOD.replace("window = 4", "windw = 4"), "prefetch.windw"),
    "unknown section": (GOOD + "\n[prefetsch]\nwindow = 1\n", "prefetsch"),
    "wrong type": (GOOD.replace('"64MiB"', "true"), "prefetch.memory"),
    "wrong unit": (GOOD.replace('"64MiB"', '"64 bananas"'), "prefetch.memory"),
    "wrong choice": (GOOD.replace('"any"', '"everyone"'), "access.managed_keys"),
    "wrong address": (GOOD.replace('"127.0.0.1:8880"', '"nowhere"'), "server.listen"),
    "filer not a list": (GOOD.replace('["127.0.0.1:8888", "127.0.0.1:8889.18900"]', "8888"), "filer.addresses"),
    "no filer": (GOOD.replace('["127.0.0.1:8888", "127.0.0.1:8889.18900"]', "[]"), "filer.addresses"),
    "secret of a wrong type": (GOOD.replace(f'key = "{SECRET}"', f'key = ["{SECRET}"]', 1), "sse_s3.key"),
    "secret file that is missing": (GOOD.replace(f'key = "{SECRET}"', 'key_file = "not-there"', 1), "not-there"),
    "provider that is missing": (GOOD.replace('default_provider = "main"', 'default_provider = "other"'), "kms"),
    "not toml": (GOOD + "\n[[[\n", "TOML"),
}


@pytest.mark.parametrize(("text", "named"), BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("command", [["check"], []], ids=["check", "serve"])
def test_a_bad_file_is_refused_in_one_line(config, command: list[str], text: str, named: str) -> None:
    path = config(text)
    refused(run(*command, "--config", path), named, path.name)


OPENBAO = """
[kms.providers.bao]
type = "openbao"
address = "http://127.0.0.1:8200"
token = "do-not-show-this-secret"
"""
GCP = """
[kms.providers.cloud]
type = "gcp"
project_id = "p"
credentials_json = "do-not-show-this-secret"
"""

# What reads well and makes no provider.
UNUSABLE = {
    "mount path": (OPENBAO + 'transit_path = "../x"\n', "kms.providers.bao.transit_path"),
    "login path": (
        OPENBAO.replace("token", "role_id") + f'secret_id = "{SECRET}"\napprole_path = "../x"\n',
        "kms.providers.bao.approle_path",
    ),
    "address with a password": (
        OPENBAO.replace("http://", f"http://user:{SECRET}@"),
        "kms.providers.bao.address",
    ),
    "region": ('[kms.providers.cloud]\ntype = "aws"\nregion = "eu west"\n', "kms.providers.cloud.region"),
    # A build without the feature refuses the type, one with it the credentials.
    "cloud": (GCP, "kms.providers.cloud"),
}


@pytest.mark.parametrize(("text", "named"), UNUSABLE.values(), ids=list(UNUSABLE))
@pytest.mark.parametrize("command", [["check"], [], ["explain", "/x"]], ids=["check", "serve", "explain"])
def test_what_could_not_start_is_refused_by_all_alike(config, command: list[str], text: str, named: str) -> None:
    path = config(text)
    refused(run(*command, "--config", path), f"{path}: {named}")


def test_an_address_that_is_taken_is_no_fault_of_the_configuration(config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f'[server]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\nadmin = "127.0.0.1:0"\n'
        path = config(listen)
        assert run("check", "--config", path).returncode == 0
        assert run("--config", path).returncode == 1


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(run("--config", tmp_path / "nothing.toml"), "nothing.toml")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TIDEGATE_PREFETCH__WINDOW", "banana"),
        ("TIDEGATE_PREFETCH__WINDW", "4"),
        ("TIDEGATE_SERVER__LISTEN", "nowhere"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(config, variable: str, value: str) -> None:
    refused(run("--config", config(), env={variable: value}), variable)


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"tidegate \d+\.\d+\.\d+.*\n", done.stdout)


def test_help() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("--config", "check", "--version"):
        assert word in done.stdout


def test_an_unknown_argument_is_refused() -> None:
    done = run("--confg", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--confg" in done.stderr
