from __future__ import annotations

import re
from collections import Counter
from typing import Any

import kubernetes_validate
import pytest

from opinion.names import Names
from opinion.settings import PREFIX, load_settings
from tests.support.deployment import PROCESSES, ROOT, VARIABLES, compose_file, environment_file, image_environment, settings_in
from tests.support.kubernetes import (
    FOLDER,
    OVERLAYS,
    SECRET,
    TOKEN,
    Resource,
    kustomizations,
    listed,
    named,
    of_kind,
    pod_selectors,
    rendered,
    selects,
    templates,
    whole,
)
from yuqing.cli import main

VERSION = "1.37"
FOREIGN = {"ScaledObject", "PodMonitor"}
"""Kinds that other programs bring: their fields are held against what those document."""
CLUSTER_WIDE = {"Namespace"}
UID = 10001

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_process = pytest.mark.parametrize("process", PROCESSES)


def problem(resource: Resource) -> str:
    """What the API of Kubernetes has against a resource; empty where it has nothing. Fields it does not know count."""
    try:
        kubernetes_validate.validate(resource, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{list(error.path)}: {error.message}"
    return ""


def container_of(template: Resource) -> Resource:
    (only,) = template["spec"]["containers"]
    found: Resource = only
    return found


def environment_of(found: list[Resource], template: Resource) -> dict[str, str]:
    """The variables that a container is started with, beside those of its image."""
    container = container_of(template)
    given: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            given |= named(found, "ConfigMap", "yuqing")["data"]
            assert source["configMapRef"]["name"] == named(found, "ConfigMap", "yuqing")["metadata"]["name"]
        else:
            given |= dict([TOKEN.strip().split("=")])
            assert source["secretRef"]["name"] == named(found, "Secret", "yuqing")["metadata"]["name"]
    for variable in container.get("env", []):
        given[variable["name"]] = variable.get("value") or container["resources"]["requests"]["cpu"]
    return given


def test_every_file_is_listed_and_every_listed_file_is_there() -> None:
    for folder, kustomization in kustomizations().items():
        names = listed(kustomization)
        files = {path.name for path in folder.iterdir() if path.is_file()} - {"kustomization.yaml", "secret.env"}
        assert {name for name in names if not name.startswith("../")} - {"secret.env"} == files, folder
        assert [name for name in names if name.startswith("../") and not (folder / name / "kustomization.yaml").is_file()] == []
    assert (FOLDER / SECRET).name in listed(kustomizations()[FOLDER / "base"])


def test_the_file_with_secrets_gets_into_no_repository() -> None:
    assert f"/deploy/kubernetes/{SECRET}" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    "resource", [resource for resource in whole().values() if resource["kind"] not in FOREIGN], ids=[key for key, value in whole().items() if value["kind"] not in FOREIGN]
)
def test_resources_are_what_the_api_takes(resource: Resource) -> None:
    assert problem(resource) == ""


def test_a_field_that_the_api_does_not_know_would_be_found() -> None:
    worker = whole()["base/worker.yaml:Deployment/yuqing-worker"]
    assert "replica" in problem(worker | {"spec": worker["spec"] | {"replica": 3}})
    assert problem(worker | {"spec": worker["spec"] | {"replicas": "three"}})


@each_overlay
def test_what_is_applied_is_what_the_api_takes_each_thing_once_and_in_our_namespace(overlay: str) -> None:
    found = rendered(overlay)
    assert {problem(resource) for resource in found if resource["kind"] not in FOREIGN} == {""}
    assert {resource["metadata"]["namespace"] for resource in found if resource["kind"] not in CLUSTER_WIDE} == {"yuqing"}
    assert Counter((resource["kind"], resource["metadata"]["name"]) for resource in found).most_common(1)[0][1] == 1
    assert named(found, "Namespace", "yuqing")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_overlay
@each_process
def test_process_runs_a_command_that_exists(overlay: str, process: str) -> None:
    program, command, *arguments = container_of(templates(rendered(overlay))[f"yuqing-{process}"])["command"]
    assert (program, command) == ("yuqing", PROCESSES[process][0])
    main.commands[command].make_context(command, arguments)


@each_overlay
@each_process
def test_process_is_given_settings_that_exist_and_listens_where_it_is_asked(overlay: str, process: str) -> None:
    found = rendered(overlay)
    template = templates(found)[f"yuqing-{process}"]
    container = container_of(template)
    given = environment_of(found, template)
    assert {name for name in given if name.startswith(PREFIX)} <= VARIABLES
    settings = settings_in(given)
    settings.require_servers()
    assert settings.api_host == "0.0.0.0"
    (port,) = container["ports"]
    assert port == {"name": "http", "containerPort": getattr(settings, PROCESSES[process][1])}
    probes = {key: container[key]["httpGet"] for key in ("startupProbe", "livenessProbe")}
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert {probe["path"] for probe in probes.values()} == {"/healthz"}  # never /readyz: a Redis that is away is mended by no restart


@each_overlay
def test_an_alerter_gets_requests_once_it_is_ready(overlay: str) -> None:
    found = rendered(overlay)
    assert container_of(templates(found)["yuqing-alerter"])["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    (service,) = [one for one in of_kind(found, "Service") if one["metadata"]["name"] == "yuqing-alerter"]
    assert [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]] == [(8600, "http")]


@each_overlay
def test_pods_are_of_the_restricted_kind(overlay: str) -> None:
    """The profile `restricted` of Kubernetes' pod security standards, and beyond it: no token, a root that is read-only, bounded memory."""
    for name, template in templates(rendered(overlay)).items():
        spec, container = template["spec"], container_of(template)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False, "the cluster would set variables that begin as our settings do"
        assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert (container["securityContext"]["allowPrivilegeEscalation"], container["securityContext"]["capabilities"]) == (False, {"drop": ["ALL"]})
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert {key for volume in spec.get("volumes", []) for key in volume} <= {"name", "configMap", "emptyDir"}
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        if name != "kafka":
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
        if name.startswith("yuqing-"):
            assert {spec["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {UID}


@each_overlay
@each_process
def test_process_can_write_to_its_data_directory_and_to_tmp(overlay: str, process: str) -> None:
    found = rendered(overlay)
    template = templates(found)[f"yuqing-{process}"]
    mounts = {mount["mountPath"]: mount for mount in container_of(template)["volumeMounts"]}
    assert mounts.keys() == {"/etc/yuqing", "/tmp", str(settings_in({}).data_dir)}
    assert [path for path, mount in mounts.items() if mount.get("readOnly")] == ["/etc/yuqing"]
    owner = next(one for one in of_kind(found, "Deployment", "StatefulSet") if one["spec"]["template"] is template)
    claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])}
    assert {mount["name"] for mount in mounts.values()} == {volume["name"] for volume in template["spec"]["volumes"]} | claims
    assert claims == ({"data"} if process == "alerter" else set())
    (files,) = [volume["configMap"]["name"] for volume in template["spec"]["volumes"] if "configMap" in volume]
    assert "yuqing.toml" in named(found, "ConfigMap", "yuqing-files")["data"]
    assert files == named(found, "ConfigMap", "yuqing-files")["metadata"]["name"]


@each_overlay
def test_selectors_pick_pods_that_are_there(overlay: str) -> None:
    found = rendered(overlay)
    pods = {name: template["metadata"]["labels"] for name, template in templates(found).items()}
    for resource in of_kind(found, "Deployment", "StatefulSet"):
        assert [name for name, labels in pods.items() if selects(resource["spec"]["selector"], labels)] == [resource["metadata"]["name"]]
    for service in of_kind(found, "Service"):
        (picked,) = [name for name, labels in pods.items() if service["spec"]["selector"].items() <= labels.items()]
        names = {port["name"] for port in container_of(templates(found)[picked])["ports"]}
        assert {port.get("targetPort", port["name"]) for port in service["spec"]["ports"]} <= names
    for resource in of_kind(found, "PodDisruptionBudget"):
        assert [name for name, labels in pods.items() if selects(resource["spec"]["selector"], labels)] == [resource["metadata"]["name"]]
    for selector in pod_selectors([resource["spec"] for resource in found if "spec" in resource]):
        assert [name for name, labels in pods.items() if selects(selector, labels)] != [], selector
    accounts = {account["metadata"]["name"]: account["automountServiceAccountToken"] for account in of_kind(found, "ServiceAccount")}
    assert accounts == dict.fromkeys((f"yuqing-{process}" for process in PROCESSES), False)
    assert {template["spec"].get("serviceAccountName", name) for name, template in templates(found).items()} - {"kafka", "redis"} == accounts.keys()


def opened(found: list[Resource], pod: str, direction: str) -> list[Resource]:
    """The rules that let something in to, or out from, a pod."""
    labels = templates(found)[pod]["metadata"]["labels"]
    policies = [policy["spec"] for policy in of_kind(found, "NetworkPolicy") if selects(policy["spec"]["podSelector"], labels)]
    return [rule for policy in policies for rule in policy.get(direction, [])]


def ports_of(rules: list[Resource]) -> set[int | str]:
    return {port["port"] for rule in rules for port in rule["ports"]}


@each_overlay
def test_nothing_comes_in_or_goes_out_but_what_is_named(overlay: str) -> None:
    found = rendered(overlay)
    nothing = named(found, "NetworkPolicy", "nothing")["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    servers = {9092, 6379, 53}
    assert ports_of(opened(found, "yuqing-scraper", "egress")) == servers | {80, 443}
    assert ports_of(opened(found, "yuqing-worker", "egress")) == servers
    assert ports_of(opened(found, "yuqing-alerter", "egress")) == servers | {80, 443, 465, 587}
    for process in PROCESSES:
        assert ports_of(opened(found, f"yuqing-{process}", "ingress")) == {"http"}
    assert all(rule["to" if direction == "egress" else "from"] for pod in templates(found) for direction in ("egress", "ingress") for rule in opened(found, pod, direction))


@each_overlay
def test_the_way_to_sites_leads_to_no_private_address(overlay: str) -> None:
    blocks = [place["ipBlock"] for rule in opened(rendered(overlay), "yuqing-scraper", "egress") if ports_of([rule]) == {80, 443} for place in rule["to"]]
    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "::/0"}
    closed = {network for block in blocks for network in block["except"]}
    assert closed >= {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128"}


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_workers_are_scaled_by_what_waits_for_them(overlay: str) -> None:
    found = rendered(overlay)
    (scaled,) = of_kind(found, "ScaledObject")
    settings = settings_in(environment_of(found, templates(found)["yuqing-worker"]))
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert scaled["spec"]["scaleTargetRef"] == {"name": "yuqing-worker"}
    assert "replicas" not in named(found, "Deployment", "yuqing-worker")["spec"], "applying the file again would take back what KEDA decided"
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (1, settings.partitions)
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "kafka"
    names = Names(settings.namespace)
    metadata = trigger["metadata"]
    assert (metadata["bootstrapServers"], metadata["consumerGroup"], metadata["topic"]) == (settings.kafka, names.worker_group, names.documents)
    assert metadata["offsetResetPolicy"] == "earliest"  # as workers begin
    assert int(metadata["lagThreshold"]) > 0


KEDA_SPEC = {
    "scaleTargetRef",
    "pollingInterval",
    "cooldownPeriod",
    "initialCooldownPeriod",
    "idleReplicaCount",
    "minReplicaCount",
    "maxReplicaCount",
    "fallback",
    "advanced",
    "triggers",
}
KEDA_KAFKA = {
    "bootstrapServers",
    "consumerGroup",
    "topic",
    "lagThreshold",
    "activationLagThreshold",
    "offsetResetPolicy",
    "allowIdleConsumers",
    "limitToPartitionsWithLag",
    "version",
}
"""Of KEDA 2.18's documentation: the ScaledObject specification, and the scaler `kafka`."""
POD_MONITOR_SPEC = {"jobLabel", "podTargetLabels", "podMetricsEndpoints", "selector", "namespaceSelector"}
POD_MONITOR_ENDPOINT = {"port", "path", "interval", "scheme", "relabelings"}
"""Of the Prometheus Operator's API reference, monitoring.coreos.com/v1."""


def test_resources_of_other_programs_have_fields_that_those_document() -> None:
    found = list(whole().values())
    (scaled,) = of_kind(found, "ScaledObject")
    assert scaled["spec"].keys() <= KEDA_SPEC
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"].keys() <= KEDA_KAFKA
    assert {type(value) for value in trigger["metadata"].values()} == {str}, "KEDA takes nothing but strings here"
    behaviour = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    autoscaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "made-by-keda"}}
    assert problem(autoscaler | {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "yuqing-worker"}, "maxReplicas": 4, "behavior": behaviour}}) == ""
    (monitor,) = of_kind(found, "PodMonitor")
    assert monitor["spec"].keys() <= POD_MONITOR_SPEC
    assert all(endpoint.keys() <= POD_MONITOR_ENDPOINT for endpoint in monitor["spec"]["podMetricsEndpoints"])


def test_prometheus_finds_the_processes_under_the_names_that_the_rules_know() -> None:
    found = list(whole().values())
    (monitor,) = of_kind(found, "PodMonitor")
    labels = {name: template["metadata"]["labels"] for name, template in templates(found).items()}
    picked = {name: own[monitor["spec"]["jobLabel"]] for name, own in labels.items() if selects(monitor["spec"]["selector"], own)}
    assert picked == {f"yuqing-{process}": f"yuqing-{process}" for process in PROCESSES}
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")


def test_workers_on_a_gpu_go_where_one_is_and_ask_for_it() -> None:
    found = rendered("gpu")
    template = templates(found)["yuqing-worker"]
    container = container_of(template)
    assert template["spec"]["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert [taint["key"] for taint in template["spec"]["tolerations"]] == ["nvidia.com/gpu"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"].endswith("-cuda")
    assert settings_in(environment_of(found, template), target="cuda").device == "cuda"
    assert {container_of(templates(found)[f"yuqing-{name}"])["image"].rpartition("-")[2] for name in ("scraper", "alerter")} == {"cpu"}


def test_the_trial_brings_its_own_servers_and_no_copies() -> None:
    found = rendered("trial")
    settings = settings_in(environment_of(found, templates(found)["yuqing-worker"]))
    assert settings.replication == 1
    assert (settings.kafka, settings.redis) == ("kafka.yuqing.svc:9092", "redis://redis.yuqing.svc:6379/0")
    services = {service["metadata"]["name"] for service in of_kind(found, "Service")}
    assert {"kafka", "redis"} <= services
    kafka = {variable["name"]: variable["value"] for variable in container_of(templates(found)["kafka"])["env"]}
    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{settings.kafka}"
    (mount,) = container_of(templates(found)["kafka"])["volumeMounts"]
    assert kafka["KAFKA_LOG_DIRS"].startswith(mount["mountPath"] + "/")
    for other in ("cpu", "gpu"):
        assert "kafka" not in templates(rendered(other))


def test_the_same_servers_are_run_as_with_compose() -> None:
    compose = compose_file()["services"]
    for name in ("kafka", "redis"):
        container = container_of(whole()[f"components/servers/{name}.yaml:StatefulSet/{name}"]["spec"]["template"])
        assert container["image"] == compose[name]["image"]
    kafka = {one["name"]: one["value"] for one in container_of(whole()["components/servers/kafka.yaml:StatefulSet/kafka"]["spec"]["template"])["env"]}
    own = {"KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS", "KAFKA_LOG_DIRS"}
    assert {key: value for key, value in kafka.items() if key not in own} == {key: str(value) for key, value in compose["kafka"]["environment"].items() if key not in own}


def test_settings_in_the_files_are_valid() -> None:
    given: dict[str, Any] = environment_file(FOLDER / "base" / "yuqing.env")
    settings = load_settings(given | {"YUQING_CONFIG": str(FOLDER / "base" / "yuqing.toml")})
    assert settings.replication == 3
    assert re.fullmatch(r"[a-z.]+:9092", settings.kafka or "")
    assert image_environment("cpu").keys().isdisjoint(given)
