from __future__ import annotations

import inspect
from typing import Any

from opinion.names import Names
from yuqing.backup.families import FAMILIES, LEFT_OUT, family_of

SAMPLES: dict[str, Any] = {
    "subject": "topic:Macro", "quarter": 900, "week": 1, "what": "stories", "day": 1, "part": "d:0123456789abcdef", "document": "0123456789abcdef", "key": "k",
    "alert_id": "al_1", "subscription_id": "sub_1", "outcome": "", "delivery_id": "msg_1", "story_id": "st_1", "source": "feed",
}  # fmt: skip
NO_KEYS = {"namespace", "documents", "scored", "alerts", "dead", "topics", "worker_group", "deliver_group", "prefix"}


def keys(names: Names) -> dict[str, str]:
    """Every Redis key that there is a name for, by the name."""
    found = {}
    for name, member in inspect.getmembers(Names, lambda value: isinstance(value, property) or inspect.isfunction(value)):
        if name.startswith("_") or name in NO_KEYS:
            continue
        value = getattr(names, name)
        found[name] = value if isinstance(member, property) else value(**{key: SAMPLES[key] for key in inspect.signature(value).parameters})
    return found


def test_every_key_is_kept_or_left_out_on_purpose() -> None:
    for names in (Names(), Names("other")):
        for name, key in keys(names).items():
            assert key.startswith(names.prefix), name
            assert family_of(key.removeprefix(names.prefix)) is not None, f"`Names.{name}` is in no family of yuqing/backup/families.py"


def test_what_would_be_wrong_or_dangerous_elsewhere_is_left_out() -> None:
    names = Names()
    left_out = {name for name, key in keys(names).items() if family_of(key.removeprefix(names.prefix)) is LEFT_OUT}
    assert left_out == {"changed", "marks", "questions", "explainers", "explanation", "leader", "leader_token", "console_session", "quoted"}


def test_keys_of_other_installations_are_none_of_ours() -> None:
    ours, theirs = Names(), Names("other")
    plain = [key for key in keys(theirs).values() if not key.removeprefix(theirs.prefix).startswith("{")]
    assert plain
    assert [family_of(key.removeprefix(ours.prefix)) for key in plain] == [None] * len(plain)
    tagged = [key for key in keys(theirs).values() if key.removeprefix(theirs.prefix).startswith("{")]
    assert [family_of(key.removeprefix(ours.prefix)) for key in tagged] == [None] * len(tagged)


def test_detection_is_read_before_what_it_made_and_erased_documents_last() -> None:
    order = [family.name for family in FAMILIES]
    assert order == ["sources", "detection", "alerts", "receivers", "groups", "deliveries", "stories", "subjects", "erased"]
