from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from opinion.settings import Settings
from tests.support.prometheus import DEPLOY, METRIC, RULES, program, rules
from yuqing.metrics_document import PROCESSES, listed

FOLDER = DEPLOY / "prometheus"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
CONFIGURATIONS = [FOLDER / "prometheus.yml", FOLDER / "prometheus.compose.yml"]
RUNBOOKS = Path(__file__).parents[3] / "docs" / "runbooks.md"
ALERTS = [rule for rule in rules() if "alert" in rule]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def promtool(*arguments: str | Path) -> str:
    """What promtool says where it is not content; empty where it is."""
    found = subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    return "" if found.returncode == 0 else found.stdout + found.stderr


def shown_names() -> set[str]:
    """Every name that a process shows or a rule records."""
    names = {rule["record"] for rule in rules() if "record" in rule}
    for process in PROCESSES.values():
        for metric in listed(process):
            names |= {metric.name + end for end in ("_bucket", "_sum", "_count")} if metric.kind == "histogram" else {metric.name}
    return names


def anchor_of(heading: str) -> str:
    return re.sub(r"[^a-z0-9-]", "", heading.strip().lower().replace(" ", "-"))


def expected(alert: str) -> set[bool]:
    """Whether the tests of an alert expect that it fires, and that it does not."""
    cases = [case for path in TESTS for test in read(path)["tests"] for case in test["promql_expr_test"]]
    return {bool(case["exp_samples"]) for case in cases if f'alertname="{alert}"' in case["expr"]}


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_promtool_accepts_the_configuration(path: Path) -> None:
    assert promtool("check", "config", path) == ""


def test_promtool_accepts_the_rules() -> None:
    assert promtool("check", "rules", *RULES) == ""


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_fire_when_they_should_and_not_before(path: Path) -> None:
    assert promtool("test", "rules", path) == ""


def test_promtool_would_find_a_rule_that_never_fires(tmp_path: Path) -> None:
    for path in [*RULES, FOLDER / "tests" / "servers.yml"]:
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).write_text(path.read_text().replace("yuqing_redis_memory:ratio > 0.8", "yuqing_redis_memory:ratio > 0.9"))
    assert "YuqingRedisMemory" in promtool("test", "rules", tmp_path / "tests" / "servers.yml")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_is_tested_both_ways(rule: dict[str, Any]) -> None:
    assert expected(rule["alert"]) == {True, False}


def test_every_alert_has_a_runbook_of_its_own_and_every_runbook_an_alert() -> None:
    anchors = [anchor_of(heading) for heading in re.findall(r"^## (.+)$", RUNBOOKS.read_text(encoding="utf-8"), flags=re.MULTILINE)]
    assert [rule["annotations"]["runbook_url"] for rule in ALERTS] == [f"docs/runbooks.md#{anchor}" for anchor in anchors]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_it_means(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Yuqing")
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert all(rule["annotations"][key].endswith((".", "}}")) for key in ("summary", "description"))


def test_rules_ask_for_what_is_shown() -> None:
    asked = {name for rule in rules() for name in METRIC.findall(rule["expr"])}
    assert len(asked) > 20
    assert asked <= shown_names()


def test_both_configurations_look_at_every_process_at_the_port_it_listens_on() -> None:
    settings = Settings()
    ports = {"yuqing-scraper": settings.scraper_port, "yuqing-worker": settings.worker_port, "yuqing-alerter": settings.api_port}
    host, compose = (read(path) for path in CONFIGURATIONS)
    found = {job["job_name"]: job["dns_sd_configs"][0]["names"] for job in compose["scrape_configs"]}
    assert found == {job: [job.removeprefix("yuqing-")] for job in ports}  # every replica of the service that is called so
    assert {job["job_name"]: job["static_configs"] for job in host["scrape_configs"]} == {job: [{"targets": [f"127.0.0.1:{port}"]}] for job, port in ports.items()}
    assert {job["job_name"]: job["dns_sd_configs"][0]["port"] for job in compose["scrape_configs"]} == ports
    assert host["rule_files"] == compose["rule_files"] == ["rules/*.yml"]
    assert host["global"] == compose["global"]


def test_prometheus_in_a_cluster_calls_the_jobs_as_the_rules_do(tmp_path: Path) -> None:
    """Debian's promtool knows no way to find pods, so it is given fixed targets in its place and checks the rest."""
    path = FOLDER / "prometheus.kubernetes.yml"
    found, host = read(path), read(CONFIGURATIONS[0])
    (job,) = found["scrape_configs"]
    ((role, namespaces, (selector,)),) = [(one["role"], one["namespaces"]["names"], one["selectors"]) for one in job.pop("kubernetes_sd_configs")]
    assert (role, namespaces, selector) == ("pod", ["yuqing"], {"role": "pod", "label": "app.kubernetes.io/part-of=yuqing"})
    assert {"source_labels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"], "target_label": "job"} in job["relabel_configs"]
    assert (found["global"], found["rule_files"]) == (host["global"], host["rule_files"])
    (tmp_path / path.name).write_text(yaml.safe_dump(found | {"scrape_configs": [job | {"static_configs": [{"targets": ["pod:8600"]}]}]}))
    shutil.copytree(FOLDER / "rules", tmp_path / "rules")
    assert promtool("check", "config", tmp_path / path.name) == ""
