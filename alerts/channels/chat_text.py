"""A notice as a chat message: short, within what the service takes, in plain text or Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from alerts.notify.groups import Notice
from alerts.subscriptions import Subscription
from alerts.wording import Language, announcement_of, colon, figures_of, languages_of, link_of, plain, sentences_of, source_of, title_of, title_of_alert
from opinion.records import Alert

MOST_EVIDENCE = 3
MOST_BYTES = 6_000
"""Whatever the service takes: a longer message is not read in a chat."""
SAID_IN_SENTENCE = {"Negative", "Window", "负面", "窗口"}
"""Figures that the sentence has told already."""

_MORE: dict[Language, str] = {"en": "… {n} more", "zh": "……另有{n}条"}
_INERT = str.maketrans({"@": "@\u200b", "<": "‹", ">": "›"})
_MARKUP = re.compile(r"[\\`*_\[\]~]")
_BLOCK = re.compile(r"[#+=-]|\d+[.)]")  # what begins a heading or a list at the beginning of a line


class Form(NamedTuple):
    """What a service takes."""

    markdown: bool
    size: Callable[[str], int]  # of a body, in bytes, once it is in the service's own form
    most_body: int  # bytes
    most_title: int  # bytes; 0: it knows no titles, the title is put before the body
    shared: bool  # whether title and body share `most_body`


class Said(NamedTuple):
    """A message within the limits."""

    title: str
    body: str


def said(notice: Notice, subscription: Subscription, form: Form) -> Said:
    """The message on a notice.

    Limits are held in bytes of UTF-8: some services count them, and none counts more. What is left out is told by its number.
    """
    writer = _Writer(form, languages_of(subscription))
    title = cut_bytes(inert(title_of(notice, subscription)), min(form.most_title or MOST_BYTES, max(form.most_body // 3, 60)))
    room = min(form.most_body, MOST_BYTES) - (len(escaped(title).encode()) + 8 if form.shared or not form.most_title else 0)
    if form.markdown and not form.most_title:
        title = escaped(title)
    if not notice.alerts:
        return Said(title, writer.join([writer.text(line) for line in announcement_of(notice, writer.languages)]) or title)
    candidates = writer.one(notice.alerts[0]) if len(notice.alerts) == 1 else writer.several(notice.alerts, subscription)
    for body in candidates:
        if form.size(body) <= room:
            return Said(title, body)
    return Said(title, writer.text(cut_bytes(sentences_of(notice.alerts[0], writer.languages)[0], max(room // 2, 20))))


class _Writer:
    """Writes bodies, the longest first."""

    def __init__(self, form: Form, languages: Sequence[Language]) -> None:
        self.languages = languages
        self._form = form

    def text(self, text: str) -> str:
        return escaped(inert(text)) if self._form.markdown else inert(text)

    def join(self, blocks: Sequence[str]) -> str:
        return ("\n\n" if self._form.markdown else "\n").join(block for block in blocks if block)

    def one(self, alert: Alert) -> Iterator[str]:
        sentences = [self.text(sentence) for sentence in sentences_of(alert, self.languages)]
        figures = self.text(" · ".join(f"{name} {value}" for name, value in _unsaid(figures_of(alert, self.languages[0]))))
        console = self._console(alert)
        for shown in range(min(MOST_EVIDENCE, len(alert.evidence)), -1, -1):
            left = len(alert.evidence) - shown
            evidence = [self._evidence(alert, number) for number in range(shown)] + ([self._more(left)] if left else [])
            yield self.join([*sentences, figures, "\n".join(evidence), console])
        yield self.join([*sentences, console])
        yield self.join(sentences[:1])

    def several(self, alerts: Sequence[Alert], subscription: Subscription) -> Iterator[str]:
        titles = [self.text(title_of_alert(alert, subscription)) for alert in alerts]
        sentences = ["\n".join(self.text(sentence) for sentence in sentences_of(alert, self.languages)) for alert in alerts]
        for evidence in (1, 0):
            blocks = [
                "\n".join([title, sentence, *(self._evidence(alert, number) for number in range(min(evidence, len(alert.evidence)))), self._console(alert)]).strip()
                for title, sentence, alert in zip(titles, sentences, alerts, strict=True)
            ]
            yield "\n\n".join(blocks)
        shown = len(titles)
        while shown:
            yield "\n".join([*(f"- {title}" for title in titles[:shown]), *([self._more(len(titles) - shown)] if shown < len(titles) else [])])
            shown = shown * 3 // 4

    def _evidence(self, alert: Alert, number: int) -> str:
        item = alert.evidence[number]
        title, source, url = self.text(plain(item.title, most=120)), self.text(source_of(item, self.languages[0])), link_of(item.url)
        if self._form.markdown:
            return f"- {f'[{title}]({_target(url)})' if url and title else title or url}" + (f" ({source})" if source else "")
        return f"• {title}" + (f" ({source})" if source else "") + (f"\n  {url}" if url else "")

    def _console(self, alert: Alert) -> str:
        url = link_of(alert.links.console)
        name = " · ".join({"en": "Console", "zh": "控制台"}[language] for language in self.languages)
        if self._form.markdown:
            return f"[{name}]({_target(url)})" if url else ""
        return f"{name}{colon(self.languages)}{url}" if url else ""

    def _more(self, count: int) -> str:
        return self.text(" · ".join(_MORE[language].format(n=count) for language in self.languages))


def _unsaid(figures: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in figures if name not in SAID_IN_SENTENCE]


def inert(text: str) -> str:
    """The text, in which nobody is called by name and nothing is a tag or a link of somebody's own making, whatever a service makes of it.

    Angle brackets are replaced by their like: some services read tags in plain text too (Apprise 2.3 hands Telegram what is between them as HTML).

    >>> inert("<b>profit</b>")
    '‹b›profit‹/b›'
    """
    return text.translate(_INERT).replace("](", "]\u200b(")


def escaped(text: str) -> str:
    r"""The text as Markdown that reads the same. No more is escaped than has to be: some services show the backslashes.

    >>> escaped("[HIGH] 3.2x *more*")
    '\\[HIGH\\] 3.2x \\*more\\*'
    """
    return ("\u200b" if _BLOCK.match(text) else "") + _MARKUP.sub(r"\\\g<0>", text)


def cut_bytes(text: str, most: int) -> str:
    """The text, cut to so many bytes of UTF-8.

    >>> cut_bytes("负面舆情", 9), cut_bytes("ab", 9)
    ('负面…', 'ab')
    """
    raw = text.encode()
    return text if len(raw) <= most else raw[: max(most - 3, 0)].decode(errors="ignore") + "…"


def _target(url: str) -> str:
    return url.replace("(", "%28").replace(")", "%29").replace("<", "%3C").replace(">", "%3E").replace("\\", "%5C")
