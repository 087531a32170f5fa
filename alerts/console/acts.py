"""What people do from a page: the same as by the API, by its own rules."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Response

from alerts.api import alerts, deliveries, feedback, silences
from alerts.console.web import ConsoleRoute, Operated
from alerts.notify.labels import Matcher
from opinion.records import FeedbackVerdict

router = APIRouter(route_class=ConsoleRoute, include_in_schema=False)

SILENCE_S = 2 * 3600
SENTIMENTS = ("negative", "neutral", "positive")
"""What a judgement can be corrected to."""


@router.post("/alerts/{alert_id}/ack")
async def acknowledge(form: Operated, alert_id: str) -> Response:
    """Take an alert on."""
    await alerts.acknowledge(form.visit.request, form.visit.caller, alert_id, alerts.ActBody(note=form.text("note")))
    return form.done("acknowledged")


@router.post("/alerts/{alert_id}/note")
async def note(form: Operated, alert_id: str) -> Response:
    """Write on an alert."""
    await alerts.note(form.visit.request, form.visit.caller, alert_id, alerts.NoteBody(text=form.text("note")))
    return form.done("noted")


@router.post("/alerts/{alert_id}/mute")
async def mute(form: Operated, alert_id: str) -> Response:
    """Tell nobody of an alert any more."""
    await alerts.mute(form.visit.request, form.visit.caller, alert_id)
    return form.done("muted")


@router.post("/alerts/{alert_id}/unmute")
async def unmute(form: Operated, alert_id: str) -> Response:
    """Tell of it again."""
    await alerts.unmute(form.visit.request, form.visit.caller, alert_id)
    return form.done("unmuted")


@router.post("/alerts/{alert_id}/true")
async def confirm(form: Operated, alert_id: str) -> Response:
    """Say that an alert was right."""
    return await _judged(form, alert_id, verdict=FeedbackVerdict.TRUE)


@router.post("/alerts/{alert_id}/false")
async def doubt(form: Operated, alert_id: str) -> Response:
    """Say that an alert was none."""
    return await _judged(form, alert_id, verdict=FeedbackVerdict.FALSE)


@router.post("/subjects/{subject:path}/silence")
async def silence(form: Operated, subject: str) -> Response:
    """Keep alerts on a subject from being told for two hours."""
    body = silences.SilenceBody(matchers=[str(Matcher("subject", "=", subject))], duration_s=SILENCE_S, comment=form.text("note"))
    await silences.add_silence(form.visit.request, form.visit.caller, body)
    return form.done("silenced")


@router.post("/silences/{silence_id}/end")
async def end_silence(form: Operated, silence_id: str) -> Response:
    """Tell of them again."""
    await silences.expire_silence(form.visit.request, form.visit.caller, silence_id)
    return form.done("silence_ended", otherwise="/receivers")


@router.post("/documents/{doc_id}/label")
async def correct(form: Operated, doc_id: str) -> Response:
    """Say what the judgement of a document should have been."""
    if form.text("sentiment") not in SENTIMENTS:
        raise HTTPException(422, f"sentiment: one of {', '.join(SENTIMENTS)}")
    body = feedback.DocumentFeedback(doc_id=doc_id, verdict=FeedbackVerdict.WRONG_SENTIMENT, correct=form.text("sentiment"), note=form.text("note"))
    await feedback.give(form.visit.request, form.visit.caller, body)
    return form.done("corrected")


@router.post("/deliveries/{delivery_id}/retry")
async def retry(form: Operated, delivery_id: str) -> Response:
    """Send it again now."""
    await deliveries.retry_delivery(form.visit.request, form.visit.caller, delivery_id)
    return form.done("retried", otherwise="/receivers")


async def _judged(form: Operated, alert_id: str, *, verdict: FeedbackVerdict) -> Response:
    await feedback.give(form.visit.request, form.visit.caller, feedback.AlertFeedback(alert_id=alert_id, verdict=verdict, note=form.text("note")))
    return form.done("judged")
