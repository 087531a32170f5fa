"""The only place that names a Kafka topic, a Redis key or a consumer group.

Every key of one subject shares the hash tag `{subject}`, so that one script may touch them all in a Redis Cluster.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Names:
    """All names of one installation. `namespace` keeps two of them apart on shared servers."""

    namespace: str = "yuqing"

    @property
    def documents(self) -> str:
        """Topic of Documents."""
        return f"{self.namespace}.documents.v1"

    @property
    def scored(self) -> str:
        """Topic of ScoredDocuments."""
        return f"{self.namespace}.scored.v1"

    @property
    def alerts(self) -> str:
        """Topic of alert transitions."""
        return f"{self.namespace}.alerts.v1"

    @property
    def dead(self) -> str:
        """Topic of dead letters."""
        return f"{self.namespace}.dead.v1"

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics."""
        return (self.documents, self.scored, self.alerts, self.dead)

    @property
    def worker_group(self) -> str:
        """Consumer group of the Faust workers (Faust's app id)."""
        return f"{self.namespace}-worker"

    @property
    def deliver_group(self) -> str:
        """Consumer group that turns alert transitions into deliveries."""
        return f"{self.namespace}-deliver"

    @property
    def prefix(self) -> str:
        """What every Redis key begins with."""
        return "y:" if self.namespace == "yuqing" else f"y:{self.namespace}:"

    def subject_base(self, subject: str) -> str:
        """What every key of one subject begins with; the braces make it the hash tag."""
        return f"{self.prefix}{{{subject}}}:"

    def _subject(self, subject: str, part: str) -> str:
        return self.subject_base(subject) + part

    def quarter(self, subject: str, quarter: int) -> str:
        """Hash of the 15 one-minute panes of the quarter hour that begins at `quarter` (epoch seconds)."""
        return self._subject(subject, f"q:{quarter}")

    def quarters(self, subject: str) -> str:
        """Sorted set of the quarters that exist, by their begin."""
        return self._subject(subject, "quarters")

    def hours(self, subject: str, week: int) -> str:
        """String of the tellings by the hour of week `week` since 1970: per hour two signed 32-bit numbers, big-endian, total and negative."""
        return self._subject(subject, f"h:{week}")

    def sketch(self, subject: str, what: str, quarter: int) -> str:
        """HyperLogLog of `what` (stories, publishers, authors) told negatively in a quarter."""
        return self._subject(subject, f"hll:{what}:{quarter}")

    def tellings(self, subject: str, day: int, part: str) -> str:
        """Hash of what was counted on event day `day` and whose id ends in `part`: (story, publisher) by the story, and documents."""
        return self._subject(subject, f"told:{day}:{part}")

    def fence(self, subject: str) -> str:
        """Hash partition -> last applied offset of the scored topic."""
        return self._subject(subject, "fence")

    def evidence(self, subject: str) -> str:
        """Sorted set of negative documents, by event time."""
        return self._subject(subject, "evidence")

    def quoted(self, document: str) -> str:
        """Hash of the subjects that a negative document, named by its digest, may be evidence on."""
        return f"{self.prefix}quoted:{document}"

    @property
    def erased(self) -> str:
        """Sorted set of what stands for the ids of erased documents, by when they were erased (server time, seconds)."""
        return f"{self.prefix}erased"

    @property
    def changed(self) -> str:
        """Sorted set of subjects, by when their panes last changed (server time, microseconds)."""
        return f"{self.prefix}changed"

    @property
    def subject_names(self) -> str:
        """Hash subject -> what people call it."""
        return f"{self.prefix}names"

    @property
    def marks(self) -> str:
        """Hash `topic-partition` -> progress of the worker that owns it."""
        return f"{self.prefix}marks"

    @property
    def episodes(self) -> str:
        """Hash subject -> state of its alert."""
        return f"{self.prefix}episodes"

    @property
    def tails(self) -> str:
        """Hash subject -> how high its scores reached in the last weeks."""
        return f"{self.prefix}tails"

    @property
    def questions(self) -> str:
        """List of texts whose judgement is to be explained."""
        return f"{self.prefix}questions"

    @property
    def explainers(self) -> str:
        """There while a worker answers questions."""
        return f"{self.prefix}explainers"

    def explanation(self, key: str) -> str:
        """The words that decided on a text."""
        return f"{self.prefix}why:{key}"

    @property
    def source_alerts(self) -> str:
        """Alerts on sources as they stand."""
        return f"{self.prefix}source-alerts"

    @property
    def detection(self) -> str:
        """What the detection stands on: rules, thresholds, whether the sources are silent."""
        return f"{self.prefix}detection"

    @property
    def alerts_index(self) -> str:
        """Sorted set of alert ids, by when they last changed."""
        return f"{self.prefix}alerts"

    def alert(self, alert_id: str) -> str:
        """The newest transition of one alert."""
        return f"{self.prefix}alert:{alert_id}"

    @property
    def subscriptions(self) -> str:
        """Hash subscription id -> subscription."""
        return f"{self.prefix}subscriptions"

    @property
    def groups(self) -> str:
        """Hash group key -> alerts that a receiver is told of together, and what it was told."""
        return f"{self.prefix}groups"

    def answers(self, subscription_id: str) -> str:
        """Hash alert id -> what the people behind a receiver thought of it; `:at` and `:n` beside it order and count."""
        return f"{self.prefix}answers:{subscription_id}"

    @property
    def silences(self) -> str:
        """Hash silence id -> silence."""
        return f"{self.prefix}silences"

    @property
    def acts(self) -> str:
        """List of what people did to alerts, not taken up by the leader yet."""
        return f"{self.prefix}acts"

    def console_session(self, key: str) -> str:
        """What a browser that signed in may do; `key` is a digest of what the browser holds."""
        return f"{self.prefix}session:{key}"

    def idempotency(self, key: str) -> str:
        """The answer to a request that may be sent again."""
        return f"{self.prefix}once:{key}"

    @property
    def feedback(self) -> str:
        """List of what people said of alerts and judgements, newest last."""
        return f"{self.prefix}feedback"

    @property
    def delivery_base(self) -> str:
        """What every key of the deliveries begins with: one hash tag, so that one script may touch them all.

        Behind it: `endpoints` sorted set of subscriptions, by when to look at them next; `due:<subscription>` sorted set of its deliveries, by when they
        are due; `line:<subscription>:<line>` list of those whose first try is to come, in order; `waiting` sorted set of all not settled, by when they
        were made; `kept` sorted set of all, by when they are forgotten; `made` and `made:...` sorted sets of all, by when they were made.
        """
        return f"{self.prefix}{{deliver}}:"

    def delivery(self, delivery_id: str) -> str:
        """Hash of one delivery: record, body as first rendered, and what the scripts go by."""
        return f"{self.delivery_base}d:{delivery_id}"

    def deliveries_made(self, *, subscription_id: str = "", outcome: str = "") -> str:
        """Sorted set of delivery ids, by when they were made; of one subscription, one outcome, or both."""
        if not subscription_id and not outcome:
            return f"{self.delivery_base}made"
        return f"{self.delivery_base}made:{subscription_id}:{outcome}"

    def deliveries_about(self, alert_id: str) -> str:
        """Sorted set of the ids of the deliveries that tell of an alert, by when they were made."""
        return f"{self.delivery_base}about:{alert_id}"

    def delivery_plain(self, delivery_id: str) -> str:
        """Hash of the documents that the body of a delivery quotes, and of the body without them."""
        return f"{self.delivery_base}plain:{delivery_id}"

    @property
    def leader(self) -> str:
        """Lock of the alerter that decides."""
        return f"{self.prefix}leader"

    @property
    def leader_token(self) -> str:
        """Counter of leaderships: the fencing token."""
        return f"{self.prefix}leader:token"

    def story_bucket(self, story_id: str) -> str:
        """What the keys of the stories whose id ends alike begin with: 16 hash tags, so that few script calls serve the stories of a batch."""
        return f"{self.prefix}{{story:{story_id[-1:]}}}:"

    def story(self, story_id: str) -> str:
        """Hash of the documents that tell a story: digest -> place, `n`, `at`; `:more` beside it holds those past the cap."""
        return self.story_bucket(story_id) + story_id

    def event_bucket(self, part: str) -> str:
        """What the keys of the event index whose last character is alike begin with: 16 hash tags, as of stories.

        Behind it: `s:<story id>` its event, `d:<document digest>` its event and signature, `b:<digest>` the newest documents with one trait.
        """
        return f"{self.prefix}{{event:{part[-1:]}}}:"

    def cursor(self, source: str) -> str:
        """Hash feed -> validators and what was seen."""
        return f"{self.prefix}cursor:{source}"

    def seen(self, source: str, day: int) -> str:
        """Hash doc_id -> `version:content hash` of the items that a feed listed on day `day`."""
        return f"{self.prefix}seen:{source}:{day}"

    @property
    def author_key(self) -> str:
        """Secret that author hashes are keyed with."""
        return f"{self.prefix}author-key"

    @property
    def sources(self) -> str:
        """Hash feed -> health."""
        return f"{self.prefix}sources"


def digest(text: str, *, chars: int = 16) -> str:
    """The first `chars` hex digits of the text's sha256: a short derived id.

    >>> digest("a", chars=8)
    'ca978112'
    """
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:chars]


def doc_id_of(source: str, native_id: str) -> str:
    """The id of an item: the same for the same item, for ever.

    >>> doc_id_of("feed", "https://example.org/1")
    'feed:18c17418f5ad82f063ef70de0bd2d3e7'
    """
    return f"{source}:{digest(native_id, chars=32)}"


def alert_id_of(subject: str, lane: str, bucket: int) -> str:
    """The id of an alert: derived from what surged and in which re-arm period it began, so that a replay gives it again."""
    return "al_" + digest(f"{subject}\n{lane}\n{bucket}", chars=24)


def delivery_id_of(alert_id: str, sequence: int, subscription_id: str) -> str:
    """The id of a delivery and its `webhook-id`: the same on every try."""
    return "msg_" + digest(f"{alert_id}\n{sequence}\n{subscription_id}", chars=32)
