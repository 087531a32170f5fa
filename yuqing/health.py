"""`yuqing health`: whether the processes of ours on this machine, or in this container, are well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import NOT_FOUND, OK, HTTPConnection, HTTPException
from ipaddress import ip_address

from msgspec import Struct

from opinion.settings import Settings

ANSWERS_WITHIN_S = 5.0
"""A process that is well answers in milliseconds; on a machine that is worked to its limits, in a second."""
PORTS: dict[str, Callable[[Settings], Sequence[int]]] = {
    "scrape": lambda settings: [settings.scraper_port],
    "work": lambda settings: settings.worker_ports,
    "alert": lambda settings: [settings.api_port],
}
"""Command -> where its processes listen; 0: where the system chose."""


class Found(Struct, frozen=True):
    """A process that listens."""

    process: str
    address: str
    problem: str  # empty: it is well


def run_health(settings: Settings, *, wanted: Sequence[str], say: Callable[[str], None]) -> int:
    """Tell how each process is that listens here; 0, or 1 where one is not well, none is there, or one of `wanted` is not.

    With `wanted`, others are not asked.
    """
    asked = {process: [port for port in ports(settings) if port] for process, ports in PORTS.items() if not wanted or process in wanted}
    host = _near(settings.api_host)
    places = [(process, port) for process, ports in asked.items() for port in ports]
    with ThreadPoolExecutor(max(1, len(places))) as threads:
        found = [answer for answer in threads.map(lambda place: _ask(place[0], host, place[1]), places) if answer is not None]
    for answer in found:
        say(f"{answer.process}: {answer.problem or 'well'} ({answer.address})")
    missing = [process for process in wanted if process not in {answer.process for answer in found}]
    for process in missing:
        say(f"{process}: {_absent(asked[process], host)}")
    if not found and not missing:
        say(f"no process of ours answers at {host}")
    return 1 if missing or not found or any(answer.problem for answer in found) else 0


def _near(host: str) -> str:
    """The address at which this machine reaches what listens at `host`.

    >>> _near("0.0.0.0"), _near("::"), _near("10.1.2.3")
    ('127.0.0.1', '::1', '10.1.2.3')
    """
    try:
        address = ip_address(host)
    except ValueError:  # a name
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _ask(process: str, host: str, port: int) -> Found | None:
    """How the process of ours that listens at a port is; None: nothing does, or something else, such as the intake among the ports of workers."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connection = HTTPConnection(host, port, timeout=ANSWERS_WITHIN_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (ConnectionRefusedError, HTTPException):
        return None
    except TimeoutError:
        return Found(process, address, f"does not answer within {ANSWERS_WITHIN_S:g} s")
    except OSError as error:
        return Found(process, address, f"does not answer: {error}")
    finally:
        connection.close()
    return None if status == NOT_FOUND else Found(process, address, "" if status == OK else f"not well, it answers {status}")


def _absent(ports: Sequence[int], host: str) -> str:
    if not ports:
        return "the system chose its port, so it cannot be asked"
    return f"does not answer at {host}, port {ports[0]}" + (f" to {ports[-1]}" if len(ports) > 1 else "")
