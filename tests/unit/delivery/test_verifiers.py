"""The verifiers of docs/security.md accept what we sign and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alerts.channels.webhook import sign
from alerts.subscriptions import new_key
from tests.support.fences import DOCS, fences_of

BODY = '{"type":"alert.test","data":{"summary":"测试"}}'.encode()
BLOCKS = {fence.title: fence.body for fence in fences_of(DOCS / "security.md") if fence.title}
SECRET, OTHER = new_key(), new_key()

Verifier = Callable[[bytes, dict[str, str], str], bool]


def headers(*, at_s: int | None = None, keys: tuple[str, ...] = (SECRET,), body: bytes = BODY) -> dict[str, str]:
    at_s = int(time.time()) if at_s is None else at_s
    return {"webhook-id": "msg_1", "webhook-timestamp": str(at_s), "webhook-signature": sign("msg_1", timestamp_s=at_s, body=body, keys=keys)}


def in_python(_: Path) -> Verifier:
    found: dict[str, Verifier] = {}
    exec(BLOCKS["verify.py"], found)
    return found["verified"]


def in_node(folder: Path) -> Verifier:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    (folder / "verify.mjs").write_text(BLOCKS["verify.mjs"])
    main = 'import { verified } from "./verify.mjs"; const [body, headers, secret] = JSON.parse(process.argv[2]); console.log(verified(Buffer.from(body), headers, secret));'
    (folder / "main.mjs").write_text(main)
    return answering("node", str(folder / "main.mjs"))


def in_go(folder: Path) -> Verifier:
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    (folder / "verify").mkdir()
    (folder / "verify" / "verify.go").write_text(BLOCKS["verify.go"])
    (folder / "go.mod").write_text("module desk\n\ngo 1.19\n")
    (folder / "main.go").write_text("""\
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"desk/verify"
)

func main() {
	var asked [3]json.RawMessage
	var body, secret string
	var given map[string]string
	json.Unmarshal([]byte(os.Args[1]), &asked)
	json.Unmarshal(asked[0], &body)
	json.Unmarshal(asked[1], &given)
	json.Unmarshal(asked[2], &secret)
	header := http.Header{}
	for name, value := range given {
		header.Set(name, value)
	}
	fmt.Println(verify.Verified([]byte(body), header, secret))
}
""")
    subprocess.run(
        ["go", "build", "-o", "desk", "."],
        cwd=folder,
        check=True,
        timeout=100,
        env={"HOME": str(folder), "PATH": "/usr/local/go/bin:/usr/bin:/bin", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"},
    )
    return answering(str(folder / "desk"))


def answering(*command: str) -> Verifier:
    """A verifier in a program that takes its arguments as JSON."""

    def verified(body: bytes, headers: dict[str, str], secret: str) -> bool:
        done = subprocess.run([*command, json.dumps([body.decode(), headers, secret])], capture_output=True, text=True, check=True, timeout=30)
        return {"true": True, "false": False}[done.stdout.strip()]

    return verified


@pytest.mark.parametrize("made", [in_python, in_node, in_go])
def test_what_we_sign_is_accepted_and_nothing_else(made: Callable[[Path], Verifier], tmp_path: Path) -> None:
    verified = made(tmp_path)
    now_s = int(time.time())
    assert verified(BODY, headers(), SECRET)
    assert verified(BODY, headers(keys=(OTHER, SECRET)), SECRET)  # while a key is rotated both sign
    assert not verified(BODY, headers(keys=(OTHER,)), SECRET)
    assert not verified(BODY + b" ", headers(), SECRET)
    assert not verified(BODY, headers() | {"webhook-id": "msg_2"}, SECRET)
    assert not verified(BODY, headers(at_s=now_s - 400), SECRET)
    assert not verified(BODY, headers(at_s=now_s + 400), SECRET)
