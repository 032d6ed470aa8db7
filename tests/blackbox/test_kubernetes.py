"""What deploy/kubernetes makes: put together by kubectl, held against the schemas of Kubernetes, with a configuration that is one.

The schema of PodMonitor is the Prometheus Operator's and not among them.
"""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from harness.packaged import output
from harness.tidegate import REPO, run

FOLDER = REPO / "deploy/kubernetes"
VERSIONS = ["1.29", "1.37"]
"""The first that has native sidecars without asking, and the newest."""
OTHERS = {"PodMonitor"}

Thing = dict[str, object]


def made(of: str) -> dict[str, Thing]:
    """All that kustomize makes of a folder, by kind."""
    return {thing["kind"]: thing for thing in yaml.safe_load_all(output("kubectl", "kustomize", FOLDER / of))}


BASE, SIDECAR = made("base"), made("sidecar")
LABELS = BASE["Deployment"]["spec"]["template"]["metadata"]["labels"]


def container(of: str) -> Thing:
    """tidegate's."""
    if of == "base":
        (found,) = BASE["Deployment"]["spec"]["template"]["spec"]["containers"]
    else:
        (found,) = SIDECAR["StatefulSet"]["spec"]["template"]["spec"]["initContainers"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("things", [BASE, SIDECAR], ids=["base", "sidecar"])
def test_kubernetes_knows_every_field(things: dict[str, Thing], version: str) -> None:
    for kind in things.keys() - OTHERS:
        kubernetes_validate.validate(things[kind], version, strict=True)


def test_a_field_that_is_none_is_noticed() -> None:
    """Lest the test above show nothing."""
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**BASE["Service"], "spec": {"port": 1}}, VERSIONS[-1], strict=True)


def test_the_base_is_complete() -> None:
    wanted = "ConfigMap Deployment Service NetworkPolicy PodDisruptionBudget HorizontalPodAutoscaler PodMonitor".split()
    assert sorted(BASE) == sorted(wanted)


def test_selectors_find_the_pods() -> None:
    assert BASE["Deployment"]["spec"]["selector"]["matchLabels"] == LABELS
    assert BASE["Service"]["spec"]["selector"] == LABELS
    assert BASE["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == LABELS
    for kind in ("PodDisruptionBudget", "PodMonitor"):
        assert BASE[kind]["spec"]["selector"]["matchLabels"] == LABELS
    peers = [peer for rule in BASE["NetworkPolicy"]["spec"]["egress"] for peer in rule.get("to", [])]
    filer, volume = (peer["podSelector"]["matchLabels"] for peer in peers)
    assert filer == SIDECAR["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert volume == {**filer, "app.kubernetes.io/component": "volume"}


@pytest.mark.parametrize("of", ["base", "sidecar"])
def test_ports_probes_and_rights(of: str) -> None:
    tidegate = container(of)
    ports = {port["name"]: port["containerPort"] for port in tidegate["ports"]}
    assert sorted(ports.values()) == [8880, 8881]
    probes = {name: tidegate[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {"admin"} and ports["admin"] == 8881
    paths = {name: probe["path"] for name, probe in probes.items()}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    rights = tidegate["securityContext"]
    assert rights["readOnlyRootFilesystem"] and rights["allowPrivilegeEscalation"] is False
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert tidegate.get("restartPolicy") == ("Always" if of == "sidecar" else None)


def test_the_service_of_the_filer_keeps_its_ports() -> None:
    assert {port["port"] for port in SIDECAR["Service"]["spec"]["ports"]} == {8880, 8888, 18888}


@pytest.mark.parametrize("of", ["base", "sidecar"])
def test_the_configuration_is_one(of: str, tmp_path: Path) -> None:
    things = BASE if of == "base" else SIDECAR
    pod = things["Deployment" if of == "base" else "StatefulSet"]["spec"]["template"]["spec"]
    volumes = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
    file = tmp_path / "tidegate.toml"
    if of == "base":
        assert volumes == {BASE["ConfigMap"]["metadata"]["name"]}
        file.write_text(BASE["ConfigMap"]["data"]["tidegate.toml"])
    else:
        file.write_text((FOLDER / "sidecar/tidegate.toml").read_text())
    env = {entry["name"]: entry["value"] for entry in container(of)["env"]}
    said = run("check", "--config", file, env=env)
    assert said.returncode == 0, said.stderr
    assert 'listen = "0.0.0.0:8880"' in said.stdout and 'admin = "0.0.0.0:8881"' in said.stdout
    assert 'lame_duck = "10s"' in said.stdout and 'drain_timeout = "2m"' in said.stdout
    assert pod["terminationGracePeriodSeconds"] > 10 + 120


def test_the_autoscaler_goes_by_what_the_adapter_makes() -> None:
    (rule,) = yaml.safe_load((FOLDER / "adapter-rule.yaml").read_text())
    metrics = BASE["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert rule["name"]["as"] in [metric["pods"]["metric"]["name"] for metric in metrics if "pods" in metric]
    assert rule["seriesQuery"].startswith("tidegate_response_bytes_total{")
