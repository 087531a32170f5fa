"""A reader of the documentation: a running instance, and the pages' commands typed into a shell beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from opinion.bus import Producer
from opinion.codec import encode
from opinion.names import Names
from opinion.settings import Settings
from tests.support.checkout import Checkout
from tests.support.documented import planned, without_comment
from tests.support.fences import ROOT, SHELL, Fence, commands, fences_of
from tests.support.receiver import Receiver
from tests.support.records import scored
from tests.support.shell import Shell
from tests.support.site import Page, Site
from tests.support.workers import until
from yuqing.dead import letter_id, read_letters
from yuqing.embedded.process import free_port

QUICKSTART = ROOT / "docs" / "quickstart.md"
GIVEN = {
    "docs/runbooks.md": ["yuqing subscribe add desk --url https://desk.example/hook", "yuqing model promote runs/mine"],
    "docs/operations.md": ["yuqing subscribe add desk --url https://desk.example/hook"],
}
"""What a page takes for granted."""
IDS = {
    "alert": r"al_0123\b",
    "delivery": r"msg_0123\w*",
    "document": r"feed:18c17418f5ad82f063ef70de0bd2d3e7",
    "letter": r"yuqing\.documents\.v1/0/1234",
    "reason": r"(?<=--reason )inference",
}
"""What stands for what nobody can know before: pages write it so."""
ADDED = "add to "
"""How the title of a block begins that belongs at the end of a file."""
COMMAND_WITHIN_S, READY_WITHIN_S, STOPPED_WITHIN_S = 120, 120, 30
RSS = b"<rss version='2.0'><channel><item><guid>1</guid><link>/a</link><title>Harbour Freight cuts its outlook</title></item></channel></rss>"
LOOKS = re.compile(r"yuqing (?:status|check|\w+ list|subscribe channels)[^|;]*")
"""Commands that change nothing: once will do, for a runbook begins like most others."""
_PORTS = {"8600": "api", "8601": "scraper", "8602": "worker", "8610": "intake", "9000": "receiver"}
"""Ports as the pages name them, and whose they are."""


class Step(Struct, frozen=True, kw_only=True):
    """A command that was typed."""

    command: str
    code: int
    said: str


class Instance:
    """A running `yuqing up`, set as the quick start says."""

    def __init__(self, checkout: Checkout, variables: Mapping[str, str], *, ports: Mapping[str, int], receiver: Receiver, site: Site) -> None:
        self.checkout = checkout
        self.receiver, self.site = receiver, site  # for all pages: a receiver that went away would be left alone for a while
        self.variables = dict(variables)
        self.ports = ports
        self.data_dir = Path(variables["YUQING_DATA_DIR"])
        self.known: dict[str, str] = {}  # what stands for the ids of the pages
        self.looked: set[str] = set()  # what was run of LOOKS

    async def ask(self, path: str, *, method: str = "GET") -> Any:
        """What the API answers."""
        token = (self.data_dir / "api-token").read_text(encoding="ascii").strip()
        async with httpx.AsyncClient(trust_env=False, timeout=30, headers={"authorization": f"Bearer {token}"}) as client:
            answer = await client.request(method, f"http://127.0.0.1:{self.ports['api']}/api/v1{path}")
            answer.raise_for_status()
            return answer.json() if answer.content else None

    async def learn(self) -> None:
        """Find an alert that is on, one of its messages, a document, and a dead letter."""
        alert = (await self.ask("/alerts?status=open"))["alerts"][0]["alert_id"]
        delivery = (await self.ask("/deliveries?limit=1"))["deliveries"][0]["delivery_id"]
        document = (await self.ask("/documents?limit=1"))["documents"][0]["document"]["doc_id"]
        self.known = {"alert": alert, "delivery": delivery, "document": document, "letter": await self._letter(), "reason": "undecodable"}

    async def forget_receivers(self) -> None:
        """Remove every subscription: each page adds its own."""
        for item in (await self.ask("/subscriptions"))["subscriptions"]:
            await self.ask(f"/subscriptions/{item['id']}", method="DELETE")

    def servers(self) -> dict[str, str]:
        """The addresses of Kafka and Redis; empty before they run."""
        path = self.data_dir / "up.json"
        return defaultdict(str, json.loads(path.read_text(encoding="utf-8")) if path.exists() else {})

    def actual(self, text: str) -> str:
        """A text of a page with the ports, places and ids of this instance."""
        for port, whose in _PORTS.items():
            text = re.sub(rf"\b{port}\b", str(self.ports[whose]), text)
        servers = self.servers()
        for written, here in (
            ("~/.local/share/yuqing", str(self.data_dir)),
            ("/backups/", f"{self.data_dir.parent}/"),
            ("broker:9092", servers["kafka"]),
            ("redis://redis:6379/0", servers["redis"]),
        ):
            text = text.replace(written, here)
        for kind, here in self.known.items():
            text = re.sub(IDS[kind], here, text)
        return text

    def has_looked(self, plan: str) -> bool:
        """Whether a command that changes nothing was run before; from now on it was."""
        look = without_comment(plan).removeprefix(".venv/bin/")
        before = look in self.looked
        self.looked |= {look} if LOOKS.fullmatch(look) else set()
        return before

    async def _letter(self) -> str:
        """The id of a dead letter; one is made."""
        settings = Settings(**self.servers())
        producer = Producer(self.servers()["kafka"])
        await producer.send_all(Names().documents, [(None, b"\xff no document")])
        await producer.stop()
        letters: list[Any] = []

        async def arrived() -> bool:
            letters[:] = await read_letters(settings)
            return bool(letters)

        await until(arrived, within_s=30, every_s=1)
        return letter_id(letters[0])


@asynccontextmanager
async def instance(folder: Path) -> AsyncIterator[Instance]:
    """`yuqing up` in a checkout that holds the files of the quick start; stopped at the end."""
    ports = {whose: free_port() for whose in _PORTS.values()}
    (folder / "clone").mkdir()
    (folder / ".curlrc").write_text("fail-with-body\n")  # a refusal is a failure here
    checkout = Checkout(folder / "clone")
    models = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "yuqing" / "models"
    own = {
        "PATH": f"{checkout.folder}/.venv/bin:{os.environ['PATH']}",
        "YUQING_DATA_DIR": str(folder / "data"),
        "YUQING_MODEL_DIR": str(models),
        "YUQING_ALLOW_PRIVATE_SOURCES": "true",
        "YUQING_ALLOW_PRIVATE_WEBHOOKS": "true",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # nobody is there: what a page names as an example is not called
        "NO_PROXY": "127.0.0.1",
        "CURL_HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # it would be the repository's, by links
        **{f"YUQING_{whose.upper()}_PORT": str(ports[whose]) for whose in ("api", "scraper", "worker")},
    }
    async with Receiver() as receiver, Site(**{"rss": Page(RSS), "feed.json": Page(RSS)}) as site:
        found = Instance(checkout, {**os.environ, **own}, ports=ports, receiver=receiver, site=site)
        write_files(found, fences_of(QUICKSTART))
        async with up(found, log=folder / "up.log"):
            yield found


@asynccontextmanager
async def up(found: Instance, *, log: Path) -> AsyncIterator[None]:
    """The instance, running."""
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "yuqing", "up", cwd=found.checkout.folder, env=found.variables, stderr=file)
    try:
        said = log.read_text
        await until(lambda: process.returncode is not None or "Ctrl-C stops all" in said(), within_s=READY_WITHIN_S)
        assert process.returncode is None, said()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOPPED_WITHIN_S):
            await process.wait()


def write_files(found: Instance, blocks: list[Fence]) -> None:
    """Make the files that a page shows."""
    for fence in blocks:
        if fence.title.startswith(ADDED):
            found.checkout.add(fence.title.removeprefix(ADDED), found.actual(fence.body))
        elif fence.title:
            found.checkout.write(fence.title, found.actual(fence.body))


async def read(page: Path, found: Instance) -> list[Step]:
    """Type every command of a page, in its order; AssertionError for the first that fails."""
    steps: list[Step] = []
    feeds = json.dumps([{"name": "reuters.example", "url": found.site.at("rss")}])
    async with Shell(found.checkout.folder, found.variables | {"YUQING_SOURCES": feeds}) as shell:
        blocks = fences_of(page)
        typed = [(page.name, command) for command in GIVEN.get(str(page.relative_to(ROOT)), [])]
        typed += [(fence.place, command) for fence in blocks if fence.lang == SHELL for command in commands(fence.body)]
        write_files(found, blocks)
        for place, command in typed:
            plan = planned(command)
            if plan is None or found.has_looked(plan):
                continue
            if not found.known and any(re.search(written, plan) for written in IDS.values()):
                await found.learn()
            actual = outside(found.actual(plan), receiver=found.receiver, site=found.site)
            done = await shell.run(actual, within_s=COMMAND_WITHIN_S)
            assert done.code == 0, f"{place}: {actual}\nended with {done.code}:\n{done.said}"
            steps.append(Step(command=command, code=done.code, said=done.said))
    return steps


def outside(command: str, *, receiver: Receiver, site: Site) -> str:
    """A command whose addresses of others lead to servers on this machine."""
    command = re.sub(r"https://(?:publisher|other)\.example", site.url, command)
    command = re.sub(r"https://[\w.-]+\.example(?::\d+)?(?:/[^\s\"'\\]*)?", receiver.url.partition("?")[0], command)
    return command.replace("smtp.example.com", "127.0.0.1")


def samples(checkout: Checkout) -> None:
    """Put there what pages name as a reader's own: recordings, labelled rows, count rows of four weeks."""
    told = [scored(number, fetched_at=datetime(2026, 11, 23, 12, number, tzinfo=UTC)) for number in range(5)]
    checkout.write("scored.jsonl", "".join(encode(item).decode() + "\n" for item in told))
    checkout.write("documents.jsonl", "".join(encode(item.document).decode() + "\n" for item in told))
    checkout.write("labelled.csv", "text,sentiment\nProfit fell sharply,negative\nProfit rose sharply,positive\nThe board met on Monday,neutral\n")
    begin = datetime(2026, 10, 26, tzinfo=UTC)
    rows = [{"at": begin + timedelta(hours=hour), "subject": "topic:Macro", "total": 20 + hour % 3, "negative": 4 + hour % 2} for hour in range(28 * 24)]
    checkout.write("counts.jsonl", "".join(msgspec.json.encode(row).decode() + "\n" for row in rows))
