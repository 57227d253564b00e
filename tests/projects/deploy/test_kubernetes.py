"""deploy/kubernetes.yaml, compared with the image, the server's options and its times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.core.management import ManagementUtility
from django.core.management.base import CommandParser

from bindserver.conf import DEFAULTS
from bindserver.http.health import HealthChecks
from bindserver.management.commands.bindserver import Command
from bindserver.server.draining import SPARE_SECONDS, seconds_to_end
from tests.projects.deploy.dockerfile import instructions
from tests.support.server import ROOT

FOUND = list(yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text()))
IMAGE = list(instructions(ROOT / "Dockerfile"))
UNITS = {"Mi": 2**20, "Gi": 2**30}


def of_kind(kind: str) -> dict[str, Any]:
    """Return the one object of a kind."""
    (found,) = (one for one in FOUND if one["kind"] == kind)
    result: dict[str, Any] = found
    return result


def deployment() -> dict[str, Any]:
    pod: dict[str, Any] = of_kind("Deployment")["spec"]["template"]["spec"]
    return pod


def purge() -> dict[str, Any]:
    pod: dict[str, Any] = of_kind("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod


def containers() -> Iterator[dict[str, Any]]:
    for pod in (deployment(), purge()):
        yield from (*pod.get("initContainers", ()), *pod["containers"])


def server() -> dict[str, Any]:
    (found,) = deployment()["containers"]
    result: dict[str, Any] = found
    return result


def options() -> Any:
    parser = CommandParser()
    Command().add_arguments(parser)
    return parser.parse_args(server()["args"][1:])


def in_bytes(text: str) -> int:
    return int(text[:-2]) * UNITS[text[-2:]]


def test_each_command_is_one_that_there_is() -> None:
    utility = ManagementUtility(["manage.py"])
    for container in containers():
        name, *rest = container["args"]
        parser = utility.fetch_command(name).create_parser("manage.py", name)
        parser.parse_args(rest)


def test_the_port_is_the_same_everywhere_and_the_image_s() -> None:
    (port,) = server()["ports"]
    (exposed,) = (i.text for i in IMAGE if i.word == "EXPOSE")
    assert port["containerPort"] == options().port == int(exposed)
    assert of_kind("Service")["spec"]["ports"][0]["targetPort"] == port["name"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert server()[probe]["httpGet"]["port"] == port["name"]


def test_probes_ask_what_is_answered_and_are_those_of_the_docs() -> None:
    told = (ROOT / "docs/deployment.md").read_text()
    (block,) = (b for b in told.split("```yaml\n") if b.startswith("startupProbe"))
    documented = yaml.safe_load(block.split("```")[0])
    for name, probe in documented.items():
        assert probe["httpGet"]["path"] in HealthChecks.paths
        probe["httpGet"]["port"] = "http"
        assert server()[name] == probe


def test_a_pod_has_time_to_send_its_clients_away() -> None:
    *_, sleep = server()["lifecycle"]["preStop"]["exec"]["command"]
    needed = int(sleep) + seconds_to_end(options().drain_seconds) + SPARE_SECONDS
    assert deployment()["terminationGracePeriodSeconds"] > needed


def test_a_new_pod_is_ready_before_an_old_one_goes() -> None:
    rolling = of_kind("Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert (rolling["maxUnavailable"], rolling["maxSurge"]) == (0, 1)
    budget = of_kind("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] < of_kind("Deployment")["spec"]["replicas"]


def test_all_labels_are_the_pods() -> None:
    labels = of_kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert of_kind("Service")["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert of_kind(kind)["spec"]["selector"]["matchLabels"] == labels


def test_nobody_is_root_and_nothing_is_written_but_tmp() -> None:
    (user,) = (i.text for i in IMAGE if i.word == "USER")
    for pod in (deployment(), purge()):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert f"{security['runAsUser']}:{security['runAsGroup']}" == user
        assert pod["automountServiceAccountToken"] is False
    for container in containers():
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
        assert container["resources"]["limits"]["memory"]


def test_memory_holds_the_views_and_more() -> None:
    views = int(of_kind("ConfigMap")["data"]["BINDSERVER_MAX_VIEWS_BYTES"])
    assert in_bytes(server()["resources"]["limits"]["memory"]) >= views + 2**29


def test_variables_are_those_of_the_docs() -> None:
    told = (ROOT / "docs/deployment.md").read_text()
    for name in of_kind("ConfigMap")["data"]:
        assert f"| `{name}` |" in told or name.removeprefix("BINDSERVER_") in DEFAULTS
    for container in containers():
        assert [next(iter(source)) for source in container["envFrom"]] == [
            "configMapRef",
            "secretRef",
        ]


@pytest.mark.parametrize("kind", ["Deployment", "CronJob"])
def test_what_runs_is_the_same_image(kind: str) -> None:
    assert of_kind(kind)
    assert {container["image"] for container in containers()} == {"bindserver:latest"}
