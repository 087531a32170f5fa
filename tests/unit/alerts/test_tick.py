from __future__ import annotations

import pytest

from alerts.tick import question_of
from opinion.records import AlertEvidence


@pytest.mark.parametrize(("subject", "company"), [("entity:XSHG:600519", "XSHG:600519"), ("topic:Macro", ""), ("watch:entity", "")])
def test_it_is_asked_why_a_text_is_negative_on_the_company_of_the_alert(subject: str, company: str) -> None:
    item = AlertEvidence(doc_id="feed:1", title="Winner sues Loser", url=None, publisher="p", published_at=None, lang="en", negative=0.9, story_size=1, kind="news")
    question = question_of(item, subject=subject)
    assert (question.doc_id, question.title, question.kind, question.lang, question.company) == ("feed:1", "Winner sues Loser", "news", "en", company)
