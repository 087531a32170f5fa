"""Alerts that quote documents which were erased since: what is shown and sent of them from then on.

The log and stored alerts are not rewritten; whatever leaves them passes here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from opinion.erased import ErasedIds
from opinion.records import Alert, AlertEvidence

ERASED_TITLE = "[deleted 已删除]"
"""Stands for the title of a document that its source deleted, or that somebody asked us to erase."""


async def without_erased(alerts: Sequence[Alert], erased: ErasedIds) -> list[Alert]:
    """The alerts without the words and addresses of documents that are erased by now.

    Errors:
        StoreUnavailable: Redis does not say which are (retryable); nothing is shown rather than too much.
    """
    gone = await erased.among(quoted(alerts))
    return [without(alert, gone) for alert in alerts]


def quoted(alerts: Sequence[Alert]) -> frozenset[str]:
    """Ids of the documents that the alerts quote."""
    return frozenset(item.doc_id for alert in alerts for item in alert.evidence if not item.erased)


def without(alert: Alert, gone: Collection[str]) -> Alert:
    """The alert with nothing of these documents but that they told of it: who, when, how negative. So its numbers still have something to point at."""
    if not any(item.doc_id in gone for item in alert.evidence):
        return alert
    return replace(alert, evidence=[_blank(item) if item.doc_id in gone else item for item in alert.evidence])


def _blank(item: AlertEvidence) -> AlertEvidence:
    return replace(item, title=ERASED_TITLE, url=None, why=[], erased=True)
