"""Calls of blocking clients that bring a network stack of their own: kept in bounds by what the interpreter tells of sockets (audit events, PEP 578).

A call runs in a thread. In it, whatever library is at work, a connection to an address that is not public is refused, no program is started, and, once
the call is stopped from outside, its sockets are shut down, so that a thread that waits for a receiver ends.

The name server's own client is not seen: names resolve. Nor are the sockets that a library opens in C or in further threads of its own.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar
from weakref import WeakSet

from opinion.addresses import is_public

T = TypeVar("T")

_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"})


class _Current(threading.local):
    call: BlockingCall | None = None


_current = _Current()


class BlockingCall:
    """One call; run in a thread, stopped from another.

    run() ──▶ answer or error      stop() ──▶ its sockets are shut down, and no further ones connect
    """

    def __init__(self, *, allow_private: bool) -> None:
        self.refused = False  # whether it tried to reach an address that is not public
        self._allow_private = allow_private
        self._stopped = False
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises; a refused connection is a PermissionError to it."""
        _watch()
        _current.call = self
        try:
            return work()
        finally:
            _current.call = None

    def stop(self) -> None:
        """Cut off its connections."""
        self._stopped = True
        for found in list(self._sockets):
            with contextlib.suppress(OSError):  # closed, or not yet connected
                found.shutdown(socket.SHUT_RDWR)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise PermissionError for what the call may not do."""
        if event == "socket.__new__":
            self._sockets.add(arguments[0])
        elif event in _CONNECTS and arguments[1] is not None:  # sendmsg without an address: a connection that was looked at
            if self._stopped:
                raise PermissionError("stopped")
            if not self._allow_private and not _is_public(arguments[1]):
                self.refused = True
                raise PermissionError("not a public address")
        elif event in _STARTS:
            raise PermissionError("no program may be started here")


def _is_public(address: Any) -> bool:
    return isinstance(address, tuple) and isinstance(address[0], str) and is_public(address[0])


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    call = _current.call
    if call is not None:
        call.audit(event, arguments)


@cache
def _watch() -> None:
    """From now on; a hook cannot be taken out again, and outside of a call it costs one look at a variable of the thread."""
    sys.addaudithook(_hook)
