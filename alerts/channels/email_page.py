"""An e-mail's two bodies, plain and HTML: the same things in the same order. Whatever comes from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from msgspec import Struct, field

from alerts.notify.groups import Notice
from alerts.subscriptions import Subscription
from alerts.wording import Language, announcement_of, colon, figures_of, languages_of, link_of, plain, sentences_of, source_of, title_of, title_of_alert
from opinion.records import Alert, AlertEvidence, AlertStatus, Severity

MOST_SHOWN = 20
"""Alerts that a message tells of in full; the rest by their titles. With five documents each that is some 60 kB."""
MOST_LISTED = 200

_COLOURS = {Severity.WARNING: "#b07d00", Severity.HIGH: "#c2570c", Severity.CRITICAL: "#b42318"}
_CALM = "#2f7d4f"
_FONT = "font-family:-apple-system,'Segoe UI',Roboto,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif"
_EVIDENCE: dict[Language, str] = {"en": "Documents", "zh": "相关文章"}
_CONSOLE: dict[Language, str] = {"en": "Open in the console", "zh": "在控制台中查看"}
_MORE: dict[Language, str] = {"en": "{n} more", "zh": "另有{n}条"}


class Item(Struct, frozen=True, kw_only=True):
    """A document."""

    title: str
    url: str
    source: str


class Section(Struct, frozen=True, kw_only=True):
    """What is said of one alert."""

    title: str
    colour: str
    sentences: list[str]
    figures: list[tuple[str, str]]
    items: list[Item]
    console: str


class Page(Struct, frozen=True, kw_only=True):
    """What is said in one message."""

    subject: str
    lead: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    more: list[str] = field(default_factory=list)  # titles of alerts not told in full
    footer: str
    heading: str  # of the documents
    console: str  # of the link
    colon: str
    language: str  # BCP 47


def page_of(notice: Notice, subscription: Subscription) -> Page:
    """What an e-mail on a notice says."""
    languages = languages_of(subscription)
    shown, rest = notice.alerts[:MOST_SHOWN], notice.alerts[MOST_SHOWN:]
    left_out = len(rest) - MOST_LISTED
    return Page(
        subject=title_of(notice, subscription),
        lead=[] if notice.alerts else announcement_of(notice, languages),
        sections=[_section(alert, subscription) for alert in shown],
        more=[title_of_alert(alert, subscription) for alert in rest[:MOST_LISTED]] + ([_both(_MORE, languages).format(n=left_out)] if left_out > 0 else []),
        footer=f"yuqing · {plain(subscription.name, most=80)}",
        heading=_both(_EVIDENCE, languages),
        console=_both(_CONSOLE, languages),
        colon=colon(languages),
        language="zh-Hans" if languages == ("zh",) else "en",
    )


def _section(alert: Alert, subscription: Subscription) -> Section:
    languages = languages_of(subscription)
    rows = zip(*(figures_of(alert, language) for language in languages), strict=True)
    return Section(
        title=title_of_alert(alert, subscription),
        colour=_CALM if alert.status == AlertStatus.RESOLVED else _COLOURS[alert.severity],
        sentences=sentences_of(alert, languages),
        figures=[(" · ".join(name for name, _ in row), row[0][1]) for row in rows],  # numbers need no second telling
        items=[_item(item, languages[0]) for item in alert.evidence],
        console=link_of(alert.links.console),
    )


def _item(item: AlertEvidence, language: Language) -> Item:
    decided = ", ".join(f"“{plain(words, most=60)}”" for words in item.why)
    return Item(title=plain(item.title) or link_of(item.url), url=link_of(item.url), source=" · ".join(filter(None, [source_of(item, language), decided])))


def _both(words: dict[Language, str], languages: Sequence[Language]) -> str:
    return " · ".join(words[language] for language in languages)


def text_of(page: Page) -> str:
    """The plain body."""
    lines = [*page.lead]
    for section in page.sections:
        lines += ["", section.title, "", *section.sentences, ""]
        lines += [f"{name}{page.colon}{value}" for name, value in section.figures]
        if section.items:
            lines += ["", f"{page.heading}{page.colon}".rstrip()]
        for number, item in enumerate(section.items, start=1):
            lines += [f"{number}. {item.title}" + (f" ({item.source})" if item.source else "")]
            lines += [f"   {item.url}"] if item.url and item.url != item.title else []
        if section.console:
            lines += ["", f"{page.console}{page.colon}{section.console}"]
    if page.more:
        lines += ["", *(f"- {title}" for title in page.more)]
    return "\n".join([*lines, "", "-- ", page.footer]).lstrip("\n") + "\n"


def html_of(page: Page) -> str:
    """The HTML body: tables and inline styles only, which is what mail programs show alike."""
    parts = [f'<p style="margin:0 0 8px">{escape(line)}</p>' for line in page.lead]
    parts += [_section_html(section, page) for section in page.sections]
    if page.more:
        parts.append("<ul>" + "".join(f'<li dir="auto">{escape(title)}</li>' for title in page.more) + "</ul>")
    return (
        f'<!DOCTYPE html>\n<html lang="{page.language}">\n<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(page.subject)}</title></head>\n"
        f'<body style="margin:0;padding:16px;background:#f4f5f7;{_FONT};font-size:14px;line-height:1.5;color:#1f2328">\n'
        f'<div style="max-width:720px;margin:0 auto">\n'
        + "\n".join(parts)
        + f'\n<p style="margin:12px 0 0;font-size:12px;color:#6b7280" dir="auto">{escape(page.footer)}</p>\n</div>\n</body>\n</html>\n'
    )


def _section_html(section: Section, page: Page) -> str:
    said = "".join(f'<p style="margin:0 0 8px" dir="auto">{escape(sentence)}</p>' for sentence in section.sentences)
    cell = "padding:3px 12px 3px 0;vertical-align:top"
    figures = "".join(
        f'<tr><td style="{cell};color:#6b7280;white-space:nowrap">{escape(name)}</td><td style="{cell}" dir="auto">{escape(value)}</td></tr>' for name, value in section.figures
    )
    items = "".join(
        f'<tr><td style="{cell};border-top:1px solid #e5e7eb" dir="auto">{_linked(item.title, item.url)}</td>'
        f'<td style="{cell};border-top:1px solid #e5e7eb;color:#6b7280" dir="auto">{escape(item.source)}</td></tr>'
        for item in section.items
    )
    heading = f'<p style="margin:12px 0 4px;font-weight:600">{escape(page.heading)}</p>' if items else ""
    console = f'<p style="margin:12px 0 0">{_linked(page.console, section.console)}</p>' if section.console else ""
    table = '<table role="presentation" cellpadding="0" cellspacing="0" style="border-collapse:collapse;font-size:13px">'
    return (
        f'<div style="background:#ffffff;border-left:4px solid {section.colour};padding:12px 16px;margin:0 0 12px">\n'
        f'<h2 style="margin:0 0 8px;font-size:16px;color:{section.colour}" dir="auto">{escape(section.title)}</h2>\n'
        f"{said}\n{table}{figures}</table>\n{heading}{f'{table}{items}</table>' if items else ''}\n{console}</div>"
    )


def _linked(text: str, url: str) -> str:
    return f'<a href="{escape(url)}" style="color:#0b5cad" rel="noopener noreferrer">{escape(text)}</a>' if url else escape(text)
