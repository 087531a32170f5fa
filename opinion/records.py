"""The records that flow one way: Document, ScoredDocument, Window, Spike, Alert, Delivery. Frozen; one line a field.

Longer than a file should be: the records are read together, and every package imports some of each part.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct, field, structs

Instant = Annotated[datetime, Meta(tz=True)]
"""An aware instant; on the wire RFC 3339."""
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
"""A number in [0, 1]."""

SCHEMA = 1
"""The major version of every record written by this program."""

TOPICS: tuple[str, ...] = (
    "Analyst Update",
    "Fed | Central Banks",
    "Company | Product News",
    "Treasuries | Corporate Debt",
    "Dividend",
    "Earnings",
    "Energy | Oil",
    "Financials",
    "Currencies",
    "General News | Opinion",
    "Gold | Metals | Materials",
    "IPO",
    "Legal | Regulation",
    "M&A | Investments",
    "Macro",
    "Markets",
    "Politics",
    "Personnel Change",
    "Stock Commentary",
    "Stock Movement",
)
"""The 20 topics, in the label order of the public set that named them (twitter-financial-news-topic)."""


class Op(StrEnum):
    """What a document record says about the item."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class DocumentKind(StrEnum):
    """What sort of text it is."""

    NEWS = "news"
    FLASH = "flash"
    FILING = "filing"
    SOCIAL = "social"
    QA = "qa"


class PaneKind(StrEnum):
    """The two registers that a pane keeps apart."""

    NEWS = "news"
    SOCIAL = "social"

    @staticmethod
    def of(kind: DocumentKind) -> PaneKind:
        """The register that a document kind is counted in.

        >>> PaneKind.of(DocumentKind.QA).value
        'social'
        """
        return PaneKind.SOCIAL if kind in (DocumentKind.SOCIAL, DocumentKind.QA) else PaneKind.NEWS


class Precision(StrEnum):
    """How exact a publication time is."""

    SECOND = "s"
    MINUTE = "min"
    DAY = "day"


class Engagement(Struct, frozen=True, omit_defaults=True):
    """How people reacted, as far as the source says. None is unknown, never 0."""

    likes: int | None = None
    reposts: int | None = None
    replies: int | None = None
    quotes: int | None = None
    views: int | None = None


class Document(Struct, frozen=True, kw_only=True):
    """One item as a source published it. Kafka `yuqing.documents.v1`, key `doc_id`."""

    schema: int = SCHEMA
    op: Op = Op.CREATE
    doc_id: str  # `<source>:<32 hex of sha256(native_id)>`; the same item has the same id for ever
    source: str  # adapter name
    publisher: str  # who published it: the host of the link for feeds
    kind: DocumentKind
    native_id: str  # the source's own id
    url: str | None = None  # as given
    canonical_url: str | None = None  # without trackers, fragment and default port
    title: str = ""  # plain text, NFC
    text: str = ""  # plain text, NFC; empty only where the title is not
    lang: str = "und"  # BCP 47: en, zh-Hans, zh-Hant, und
    published_at: Instant | None = None  # None where no trusted time was given; never a guess
    published_precision: Precision | None = None
    fetched_at: Instant  # when the bytes arrived
    symbols: list[str] = field(default_factory=list)  # native tags only, e.g. `XSHG:600519`
    author_hash: str | None = None  # HMAC-SHA-256 keyed per source; never a handle
    engagement: Engagement | None = None
    parent_id: str | None = None  # reply or repost of
    version: int = 1  # edits raise it
    content_hash: str = ""  # of the normalised title and text
    labels: dict[str, Any] = field(default_factory=dict)  # what the source itself says
    extra: dict[str, Any] = field(default_factory=dict)  # provenance: http_status, charset, truncated, adapter_version


class Sentiment(Struct, frozen=True):
    """Calibrated probabilities that sum to 1, for a holder of the asset or company spoken of."""

    negative: Probability
    neutral: Probability
    positive: Probability

    @property
    def polarity(self) -> float:
        """Positive minus negative, in [-1, 1]."""
        return self.positive - self.negative

    @property
    def label(self) -> str:
        """The most probable of the three; on a tie the worse one."""
        best = max(self.negative, self.neutral, self.positive)
        if best == self.negative:
            return "negative"
        return "neutral" if best == self.neutral else "positive"

    @property
    def clearly_negative(self) -> bool:
        """Whether it is negative beyond doubt."""
        return self.negative >= CLEAR_FROM


class EntityMention(Struct, frozen=True):
    """A company or asset named in a text."""

    id: str  # `<MIC>:<code>`, e.g. `XNAS:AAPL`
    name: str
    relevance: Probability  # 1 where the text is about it, little in a round-up
    sentiment: Sentiment


class Evidence(Struct, frozen=True):
    """A span of the text that spoke for the winning sentiment."""

    text: str
    start: int  # characters from the beginning of the judged text
    end: int  # exclusive
    weight: float  # change of the winning log-probability when the span is left out


class Judgement(Struct, frozen=True, kw_only=True):
    """What the model says of one text. `yuqing score` prints these fields."""

    sentiment: Sentiment
    polarity: float  # positive - negative, in [-1, 1]
    topics: dict[str, float]  # all 20, sum 1
    topic: str  # the best
    entities: list[EntityMention] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)  # windows this text counts in: `topic:..`, `entity:..`
    story_id: str = ""
    story_size: int = 1  # tellings of the story so far, this one included
    novelty: float = 1.0  # 1 for the first telling, falling with repeats
    model: str = ""  # `name@revision`
    backend: str = ""
    embedding: bytes = b""  # of the meaning, signed bytes, for story linking; never printed nor sent


class ScoredDocument(Struct, frozen=True, kw_only=True):
    """A document with its judgement. Kafka `yuqing.scored.v1`, key `doc_id`."""

    schema: int = SCHEMA
    document: Document
    event_at: Instant  # architecture: published_at where it can be trusted, else fetched_at
    counted: bool = True  # False: published more than 24 h before it was fetched; stored, not counted
    sentiment: Sentiment
    polarity: float
    topics: dict[str, float]
    topic: str
    entities: list[EntityMention] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    story_id: str = ""  # the event it tells of, whatever the words and the language; a guess that depends on what was seen before
    text_id: str = ""  # the text word for word: a function of the document alone, so that panes count by it; empty in old records
    story_size: int = 1
    novelty: float = 1.0
    model: str = ""
    backend: str = ""
    scored_at: Instant

    def sentiment_on(self, subject: str) -> Sentiment:
        """What the text says of a subject it counts for: of a company its own sentiment, of all else that of the text."""
        own = (mention.sentiment for mention in self.entities if subject == f"entity:{mention.id}")
        return next(own, self.sentiment)

    @property
    def telling_id(self) -> str:
        """What panes take for one story."""
        return self.text_id or self.story_id


CLEAR_FROM = 0.8
"""A text is clearly negative from this probability on: texts of a surge mostly are, of what is usually negative on social media few (docs/experiments/008-clear-negatives.md)."""


CLEARLY_MORE = 1.5
"""Clear negatives are spoken of where they stand out so much more than all negatives do."""


class Counts(Struct, frozen=True):
    """What happened in one pane, for one register. All integers, so that order of arrival cannot change a sum."""

    documents: int = 0  # distinct documents, copies included
    total: int = 0  # tellings: one per story and publisher
    negative: int = 0
    neutral: int = 0
    positive: int = 0
    polarity_e6: int = 0  # sum of polarity, in millionths
    clear: int = 0  # of the negatives: those that are so clearly

    def __add__(self, other: Counts) -> Counts:
        """Both together.

        >>> Counts(total=2, negative=1) + Counts(total=1)
        Counts(documents=0, total=3, negative=1, neutral=0, positive=0, polarity_e6=0, clear=0)
        """
        return Counts(
            documents=self.documents + other.documents,
            total=self.total + other.total,
            negative=self.negative + other.negative,
            neutral=self.neutral + other.neutral,
            positive=self.positive + other.positive,
            polarity_e6=self.polarity_e6 + other.polarity_e6,
            clear=self.clear + other.clear,
        )


class Pane(Struct, frozen=True, kw_only=True):
    """One minute of event time for one subject: [start_at, start_at + 60 s)."""

    subject: str
    start_at: Instant
    kinds: Mapping[PaneKind, Counts]

    @property
    def counts(self) -> Counts:
        """Both registers together."""
        return sum(self.kinds.values(), Counts())


class Window(Struct, frozen=True, kw_only=True):
    """A sum of panes: [start_at, start_at + width_s)."""

    subject: str
    start_at: Instant
    width_s: int
    counts: Counts
    stories: int  # distinct among tellings
    publishers: int
    authors: int


class Lane(StrEnum):
    """Which rule spoke."""

    SHARE = "share"
    COUNT = "count"
    SOURCE = "source"  # no opinion: a source fell silent, or all of a language


class Scan(StrEnum):
    """The ways in which a subject is looked at; each has a threshold and a budget of false alarms of its own."""

    SHARE = "share"  # share of negatives in the windows of the rules
    DAY = "day"  # the same over a day, by the hour
    COUNT = "count"  # number of negatives in the windows of the rules


COUNT_UNIT = 4.0
"""What the threshold of a count is worth in scores of shares."""


class Spike(Struct, frozen=True, kw_only=True):
    """What a lane says of one subject at one instant: the most surprising of its windows."""

    subject: str
    scan: Scan
    at: Instant
    width_s: int
    total: int
    negative: int
    expected_negative: float
    baseline_ratio: float
    ratio: float
    lift: float  # ratio / baseline_ratio; of the count lane negative / expected_negative
    p_value: float
    score: float  # -log10 p_value
    theta: float  # the score that fires, as it follows from the budget of false alarms
    stories: int
    publishers: int
    authors: int
    authored: int = 0  # negatives that were posted by authors, where that is known: the rest is the press
    shared: dict[str, int] = field(default_factory=dict)  # of a topic's negatives: how many also speak of each company that may be surging
    explained: int = 0  # negatives that companies with an alert of their own account for
    level: float = 0.0  # score of the widest window against the subject's long memory: an alert lasts while it stands out
    clear: int = 0  # of the negatives: those that are so clearly
    expected_clear: float = 0.0  # usual number of those in the window; 0 where they were not looked at
    dispersion: float = 0.0  # of the count lane: variance of the number beyond chance, over its mean squared
    new: bool = False  # little is known of the subject: what is usual of all stands in
    held: bool = False  # too likely by chance among so many subjects, or shared by all of them: it begins no alert

    @property
    def lane(self) -> Lane:
        """What the scan weighs: the share of negatives or their number."""
        return Lane.COUNT if self.scan == Scan.COUNT else Lane.SHARE

    @property
    def led_by_clear(self) -> bool:
        """Whether clear negatives stand out more than all negatives do."""
        return _led_by_clear(self)

    @property
    def surging(self) -> bool:
        """Whether the score reaches the threshold."""
        return self.score >= self.theta

    @property
    def over(self) -> float:
        """By how much the score passes the threshold."""
        return self.above(self.score)

    def above(self, score: float) -> float:
        """By how much another score would pass the threshold. Scores of counts are of no common scale: there a threshold stands for COUNT_UNIT."""
        return (score / self.theta - 1) * COUNT_UNIT if self.scan == Scan.COUNT else score - self.theta


class Severity(StrEnum):
    """How bad, from score and breadth."""

    WARNING = "warning"
    HIGH = "high"
    CRITICAL = "critical"


class AlertStatus(StrEnum):
    """What a transition says."""

    PENDING = "pending"  # held back: sequence 0, told to nobody
    FIRING = "firing"
    UPDATED = "updated"
    RESOLVED = "resolved"


class TransitionReason(StrEnum):
    """Why a transition was made."""

    THRESHOLD_PASSED = "threshold_passed"
    SCORE_GREW = "score_grew"
    SEVERITY_ROSE = "severity_rose"
    CALM_AGAIN = "calm_again"
    FEW_VOICES = "few_voices"  # pending: so far one story, one author or too few of them tell it
    MAY_BE_CHANCE = "may_be_chance"  # pending: one of many subjects, or all rise together
    LAPSED = "lapsed"  # pending, and nothing came of it
    SOURCE_LOST = "source_lost"
    SOURCE_BACK = "source_back"
    ACKNOWLEDGED = "acknowledged"
    ASSIGNED = "assigned"
    NOTED = "noted"
    MUTED = "muted"
    UNMUTED = "unmuted"


class AlertWindow(Struct, frozen=True, kw_only=True):
    """The numbers an alert stands on; each can be recomputed from the stored panes."""

    start_at: Instant
    width_s: int
    total: int
    negative: int
    ratio: float
    baseline_ratio: float
    expected_negative: float
    lift: float
    p_value: float
    score: float
    theta: float = 0.0  # the score that fires, as it followed from the budget of false alarms
    stories: int
    publishers: int
    authors: int
    clear: int = 0  # of the negatives: those that are so clearly
    expected_clear: float = 0.0  # usual number of those; 0 where they were not looked at

    @property
    def led_by_clear(self) -> bool:
        """Whether clear negatives stand out more than all negatives do."""
        return _led_by_clear(self)


def _led_by_clear(window: Spike | AlertWindow) -> bool:
    return 0 < window.expected_clear * window.lift * CLEARLY_MORE < window.clear


class Trend(Struct, frozen=True, kw_only=True):
    """Least-squares slope of the negative ratio, per hour, with its 95 % interval."""

    slope_per_hour: float
    slope_low: float
    slope_high: float


class AlertEvidence(Struct, frozen=True, kw_only=True):
    """A stored document that an alert points at."""

    doc_id: str
    title: str
    url: str | None
    publisher: str
    published_at: Instant | None
    lang: str
    negative: Probability
    story_size: int
    why: list[str] = field(default_factory=list)  # the words that decided; empty where not computed
    story_id: str = ""
    fetched_at: Instant | None = None
    kind: str = ""  # DocumentKind; empty of evidence kept by earlier versions
    erased: bool = False  # deleted since: its title, address and words are gone


class AlertLinks(Struct, frozen=True, kw_only=True):
    """Where to look further."""

    console: str
    api: str


class AlertNote(Struct, frozen=True, kw_only=True):
    """What somebody wrote on an alert."""

    by: str
    at: Instant
    text: str


class Alert(Struct, frozen=True, kw_only=True):
    """One transition of one alert, complete. Kafka `yuqing.alerts.v1`, key `alert_id`; `data` of the webhook."""

    schema: int = SCHEMA
    alert_id: str
    sequence: int  # 1 for the first transition of an alert; 0 while it is pending
    subject: str
    subject_name: str
    severity: Severity
    status: AlertStatus
    reason: TransitionReason
    lane: Lane
    started_at: Instant
    updated_at: Instant
    ended_at: Instant | None = None
    window: AlertWindow
    trend: Trend | None = None  # None where fewer than three panes hold documents
    summary: str  # one sentence made of these numbers
    summary_zh: str = ""  # the same in Chinese
    evidence: list[AlertEvidence] = field(default_factory=list)
    acknowledged_by: str | None = None  # None: by nobody yet
    acknowledged_at: Instant | None = None
    assigned_to: str | None = None
    notes: list[AlertNote] = field(default_factory=list)  # oldest first
    muted: bool = False  # nobody is told of it any more until it is over
    links: AlertLinks
    rules_version: str = ""
    priority: Probability | None = None  # how likely it matters to the receiver, by what its people answered; None: too little was said
    priority_why: list[str] = field(default_factory=list)  # the facts that moved it most


class Marks(Struct, frozen=True, kw_only=True):
    """What people left on an alert: on every transition that follows."""

    acknowledged_by: str | None = None
    acknowledged_at: Instant | None = None
    assigned_to: str | None = None
    notes: list[AlertNote] = field(default_factory=list)
    muted: bool = False

    def on(self, alert: Alert) -> Alert:
        """The alert with these marks."""
        return structs.replace(alert, **{name: getattr(self, name) for name in self.__struct_fields__})


class DeliveryOutcome(StrEnum):
    """How a try to tell a receiver ended; also the metric label."""

    DELIVERED = "delivered"
    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    GONE = "gone"
    ADDRESS_REFUSED = "address_refused"
    EXHAUSTED = "exhausted"
    UNEXPECTED = "unexpected"  # our own fault


class Delivery(Struct, frozen=True, kw_only=True):
    """One transition on its way to one subscription."""

    delivery_id: str  # also the `webhook-id`: derived from alert_id, sequence, subscription
    alert_id: str  # of the first, where alerts are told together
    sequence: int
    subscription_id: str
    channel: str = "webhook"
    reason: str = ""  # why the receiver is told: NoticeReason
    alert_ids: list[str] = field(default_factory=list)  # all that it tells of, where they are several
    line: str = ""  # what is told one after another: an alert, or a group of them; empty: it need not wait for any other
    attempts: int = 0  # since it was made, or was asked for again
    created_at: Instant
    due_at: Instant | None = None  # None once settled
    outcome: DeliveryOutcome | None = None  # of the last try; None before the first
    detail: str = ""  # one line about the last try; no secret, no query string
    settled_at: Instant | None = None


class FeedbackVerdict(StrEnum):
    """What somebody says of an alert or of a judgement."""

    TRUE = "true"
    FALSE = "false"
    DUPLICATE = "duplicate"
    WRONG_ENTITY = "wrong_entity"
    WRONG_SENTIMENT = "wrong_sentiment"
    WRONG_TOPIC = "wrong_topic"


class Feedback(Struct, frozen=True, kw_only=True):
    """It, with who said it and when."""

    alert_id: str | None = None  # this or the next
    doc_id: str | None = None
    subscription_id: str | None = None  # through which receiver the alert came
    verdict: FeedbackVerdict
    correct: str | None = None  # what it should have been; None: not said
    by: str
    note: str = ""
    at: Instant


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A record that could not be worked on. Kafka `yuqing.dead.v1`, key `topic/partition/offset`."""

    schema: int = SCHEMA
    topic: str
    partition: int
    offset: int
    reason: str  # a value of errors.Reason
    detail: str
    value_base64: str  # the bytes as they came
    key_base64: str | None = None
    at: Instant
