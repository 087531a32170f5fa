"""The Kubernetes files: read as they stand, and rendered by kustomize where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from tests.support.deployment import DEPLOY

FOLDER = DEPLOY / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
SECRET = "base/secret.env"
"""The one file that every operator writes, and no repository holds."""
TOKEN = "YUQING_API_TOKEN=0123456789abcdef0123456789abcdef\n"

Resource = dict[str, Any]


def read(path: Path) -> list[Resource]:
    """The documents of a file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def kustomizations() -> dict[Path, Resource]:
    """Every kustomization by its folder."""
    return {path.parent: read(path)[0] for path in sorted(FOLDER.rglob("kustomization.yaml"))}


def listed(kustomization: Resource) -> list[str]:
    """The files and folders that a kustomization names."""
    generators = [*kustomization.get("configMapGenerator", []), *kustomization.get("secretGenerator", [])]
    generated = [file for generator in generators for key in ("envs", "files") for file in generator.get(key, [])]
    return [*kustomization["resources"], *kustomization.get("components", []), *[patch["path"] for patch in kustomization.get("patches", [])], *generated]


def whole() -> dict[str, Resource]:
    """Every complete resource as it stands in its file, by where it is: patches are none."""
    patches = {folder / patch["path"] for folder, found in kustomizations().items() for patch in found.get("patches", [])}
    files = [path for path in sorted(FOLDER.rglob("*.yaml")) if path.name != "kustomization.yaml" and path not in patches]
    return {f"{path.relative_to(FOLDER)}:{found['kind']}/{found['metadata']['name']}": found for path in files for found in read(path)}


@cache
def rendered(overlay: str) -> list[Resource]:
    """What would be applied. Skips the test, with the reason, where neither kustomize nor kubectl is installed."""
    command = next(([found, *words] for name, *words in (("kustomize", "build"), ("kubectl", "kustomize")) if (found := shutil.which(name))), None)
    if command is None:
        pytest.skip("neither kustomize nor kubectl is on the PATH")
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(FOLDER, Path(folder) / "kubernetes"))
        (copy / SECRET).write_text(TOKEN, encoding="utf-8")
        done = subprocess.run([*command, copy / "overlays" / overlay], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "kustomize warns"
    return list(yaml.safe_load_all(done.stdout))


def of_kind(found: list[Resource], *kinds: str) -> list[Resource]:
    """The resources of some kinds."""
    return [resource for resource in found if resource["kind"] in kinds]


def named(found: list[Resource], kind: str, name: str) -> Resource:
    """The one resource of a kind that is called so; names that kustomize ended with a hash count without it."""
    (only,) = [resource for resource in of_kind(found, kind) if resource["metadata"]["name"] == name or resource["metadata"]["name"].rpartition("-")[0] == name]
    return only


def templates(found: list[Resource]) -> dict[str, Resource]:
    """The pods that are run, by the name of what runs them."""
    return {resource["metadata"]["name"]: resource["spec"]["template"] for resource in of_kind(found, "Deployment", "StatefulSet")}


def selects(selector: Resource, labels: dict[str, str]) -> bool:
    """Whether a label selector picks something with these labels."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []) if one["operator"] == "In")


def pod_selectors(value: object) -> Iterator[Resource]:
    """Every pod selector anywhere in a resource."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("podSelector", "labelSelector"):
                yield inner
            yield from pod_selectors(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pod_selectors(inner)
