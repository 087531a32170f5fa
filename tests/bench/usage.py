"""What a process and its children take of the machine, looked at from outside."""

from __future__ import annotations

import psutil


class Usage:
    """Processor time and the most memory, of a process and of its children, as far as was looked."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._own_s = 0.0
        self._children_s: dict[psutil.Process, float] = {}  # the last that was seen of each, those that have ended included
        self.own_mb = self.children_mb = self.together_mb = 0.0
        self.look()

    @property
    def cpu_s(self) -> tuple[float, float]:
        """Seconds of processor time since they were started: the process, its children."""
        return self._own_s, sum(self._children_s.values())

    def look(self) -> None:
        """Note what they use now.

        Errors:
            psutil.NoSuchProcess: the process has ended.
        """
        self._own_s, own_mb = _used(self._process)
        children_mb = 0.0
        for child in self._process.children(recursive=True):
            try:
                self._children_s[child], mb = _used(child)
            except psutil.NoSuchProcess:
                continue
            children_mb += mb
        self.own_mb, self.children_mb = max(self.own_mb, own_mb), max(self.children_mb, children_mb)
        self.together_mb = max(self.together_mb, own_mb + children_mb)

    def forget_memory(self) -> None:
        """Begin anew to look for the most memory."""
        self.own_mb = self.children_mb = self.together_mb = 0.0


def _used(process: psutil.Process) -> tuple[float, float]:
    """Seconds of processor time, and resident megabytes."""
    with process.oneshot():
        times = process.cpu_times()
        return times.user + times.system, process.memory_info().rss / 1e6
