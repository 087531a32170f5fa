"""Which keys of Redis a backup holds, and which it leaves out.

They are read in this order: what happens first is read first. So what changes meanwhile looks like what a crash leaves behind, and is done again under
the same ids, not missed and not doubled.
"""

from __future__ import annotations

from msgspec import Struct


class Family(Struct, frozen=True):
    """Keys that are read together; all without what every key of an installation begins with."""

    name: str
    exact: tuple[str, ...] = ()
    beginnings: tuple[str, ...] = ()
    at_once: bool = False  # whether all of it is of one instant

    def holds(self, key: str) -> bool:
        """Whether a key is one of these."""
        return key in self.exact or key.startswith(self.beginnings)


SOURCES = Family("sources", ("author-key", "sources"), ("cursor:", "seen:"))
DETECTION = Family("detection", ("episodes", "tails", "source-alerts", "detection", "acts"), at_once=True)
ALERTS = Family("alerts", ("alerts",), ("alert:",))
RECEIVERS = Family("receivers", ("subscriptions", "silences", "feedback"), ("answers:", "once:"))
GROUPS = Family("groups", ("groups",))
DELIVERIES = Family("deliveries", beginnings=("{deliver}:",))
STORIES = Family("stories", beginnings=("{story:", "{event:"))
SUBJECTS = Family("subjects", ("names",), ("{",))  # after all others whose keys have a hash tag
ERASED = Family("erased", ("erased",))

FAMILIES = (SOURCES, DETECTION, ALERTS, RECEIVERS, GROUPS, DELIVERIES, STORIES, SUBJECTS, ERASED)
"""All that is kept."""

LEFT_OUT = Family("left out", ("changed", "marks", "questions", "explainers", "leader", "leader:token"), ("why:", "session:", "quoted:"))
"""What is made anew: `changed` and `quoted` from the subjects, marks by the workers, the lease by who leads, words that decided by who is asked. People
sign in again."""


def family_of(key: str) -> Family | None:
    """The family of a key, LEFT_OUT among them; None: it is of another installation.

    >>> family_of("{topic:Macro}:fence").name, family_of("leader").name, family_of("other:episodes")
    ('subjects', 'left out', None)
    """
    return next((family for family in (*FAMILIES, LEFT_OUT) if family.holds(key)), None)
