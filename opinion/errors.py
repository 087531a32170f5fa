"""Everything that can go wrong, as one tree. The class says whether to try again and which metric label to count under.

YuqingError
├── ConfigError                     config                 no
├── SourceError                     getting text in
│   ├── SourceUnavailable           source_unavailable     yes   connect, TLS, timeout, 5xx, cut-off body
│   ├── SourceRateLimited           source_rate_limited    yes   429; 403, 503 with Retry-After
│   ├── SourceWalled                source_walled          no    401, 403, a challenge or login page
│   ├── SourceGone                  source_gone            no    404, 410
│   ├── PageChanged                 page_changed           no    a body that is not what this adapter reads
│   ├── BodyTooLarge                body_too_large         no    over the decoded cap, or a decompression bomb
│   └── AddressRefused              address_refused        no    private, loopback or metadata address
├── RecordError                     what a record says
│   ├── Undecodable                 undecodable            no    not UTF-8 JSON of this form
│   ├── UnknownSchema               unknown_schema         no    a newer major version
│   ├── InvalidRecord               invalid_record         no    decoded, but a field breaks its rule
│   └── EmptyDocument               empty_document         no    neither title nor text
├── ModelError                      judging text
│   ├── ModelLoadError              model_load             no
│   ├── ModelRefused                model_refused          no    not put to use: worse, not to be compared, or none there
│   ├── InferenceError              inference              yes
│   └── PoisonText                  poison_text            no    one text the model fails on, tried alone
├── StoreError                      the outside systems we keep state in
│   ├── StoreUnavailable            store_unavailable      yes   Redis
│   ├── BusUnavailable              bus_unavailable        yes   Kafka
│   ├── ServerFailed                server_failed          no    an embedded server that cannot start
│   └── ApiRefused                  api_refused            no    the alerter's API said no
└── DeliveryError                   telling people
    ├── DeliveryUnavailable         unavailable            yes   connect, timeout, 5xx
    ├── DeliveryRateLimited         rate_limited           yes   429, 503 with Retry-After
    ├── DeliveryRefused             refused                yes   other 3xx and 4xx: receivers are mended while we retry
    ├── DeliveryGone                gone                   no    410: the subscription is disabled; or this message is not wanted
    └── DeliveryBlocked             address_refused        no    the SSRF guard said no
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """Why something failed: the closed set of metric labels and dead-letter reasons."""

    CONFIG = "config"
    SOURCE_UNAVAILABLE = "source_unavailable"
    SOURCE_RATE_LIMITED = "source_rate_limited"
    SOURCE_WALLED = "source_walled"
    SOURCE_GONE = "source_gone"
    PAGE_CHANGED = "page_changed"
    BODY_TOO_LARGE = "body_too_large"
    ADDRESS_REFUSED = "address_refused"
    UNDECODABLE = "undecodable"
    UNKNOWN_SCHEMA = "unknown_schema"
    INVALID_RECORD = "invalid_record"
    EMPTY_DOCUMENT = "empty_document"
    MODEL_LOAD = "model_load"
    MODEL_REFUSED = "model_refused"
    INFERENCE = "inference"
    POISON_TEXT = "poison_text"
    STORE_UNAVAILABLE = "store_unavailable"
    BUS_UNAVAILABLE = "bus_unavailable"
    SERVER_FAILED = "server_failed"
    API_REFUSED = "api_refused"
    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    GONE = "gone"
    UNEXPECTED = "unexpected"


class YuqingError(Exception):
    """Base of all errors raised on purpose. The message is one line and never holds a secret."""

    reason: ClassVar[Reason] = Reason.UNEXPECTED
    retryable: ClassVar[bool] = False


class ConfigError(YuqingError):
    """A setting or an argument is wrong; the message names the key."""

    reason = Reason.CONFIG


class SourceError(YuqingError):
    """A source did not give documents."""


class SourceUnavailable(SourceError):
    """The source did not answer, or not to the end."""

    reason = Reason.SOURCE_UNAVAILABLE
    retryable = True


class SourceRateLimited(SourceError):
    """The source asked us to slow down; `wait_s` is how long, when it said so."""

    reason = Reason.SOURCE_RATE_LIMITED
    retryable = True

    def __init__(self, message: str, *, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class SourceWalled(SourceError):
    """The source refused us, or showed a challenge or login page. It is never evaded."""

    reason = Reason.SOURCE_WALLED


class SourceGone(SourceError):
    """The address exists no more."""

    reason = Reason.SOURCE_GONE


class PageChanged(SourceError):
    """The body is not of the form this adapter reads."""

    reason = Reason.PAGE_CHANGED


class BodyTooLarge(SourceError):
    """The decoded body passed its cap, or grew like a decompression bomb."""

    reason = Reason.BODY_TOO_LARGE


class AddressRefused(SourceError):
    """The address resolves to a place a source may not be at."""

    reason = Reason.ADDRESS_REFUSED


class RecordError(YuqingError):
    """Bytes or fields that are not a record of ours."""


class Undecodable(RecordError):
    """The bytes are not UTF-8 JSON of the expected form."""

    reason = Reason.UNDECODABLE


class UnknownSchema(RecordError):
    """The record is of a newer major version than this program reads."""

    reason = Reason.UNKNOWN_SCHEMA


class InvalidRecord(RecordError):
    """The record decodes, but a field is missing or breaks its rule."""

    reason = Reason.INVALID_RECORD


class EmptyDocument(RecordError):
    """The document has neither title nor text."""

    reason = Reason.EMPTY_DOCUMENT


class ModelError(YuqingError):
    """The model could not judge."""


class ModelLoadError(ModelError):
    """Weights are missing, damaged, of another form, or of another hash."""

    reason = Reason.MODEL_LOAD


class ModelRefused(ModelError):
    """A model is not put to use: it is worse than the one in use, nothing tells, or there is none."""

    reason = Reason.MODEL_REFUSED


class InferenceError(ModelError):
    """A batch failed; it may pass when tried again or in parts."""

    reason = Reason.INFERENCE
    retryable = True


class PoisonText(ModelError):
    """This one text fails even alone."""

    reason = Reason.POISON_TEXT


class StoreError(YuqingError):
    """An outside system that keeps our state."""


class StoreUnavailable(StoreError):
    """Redis does not answer."""

    reason = Reason.STORE_UNAVAILABLE
    retryable = True


class BusUnavailable(StoreError):
    """Kafka does not answer."""

    reason = Reason.BUS_UNAVAILABLE
    retryable = True


class ServerFailed(StoreError):
    """An embedded server cannot start: port in use, disk full, no Java."""

    reason = Reason.SERVER_FAILED


class ApiRefused(StoreError):
    """The alerter's API did not do what a command asked for."""

    reason = Reason.API_REFUSED


class DeliveryError(YuqingError):
    """A receiver was not told."""


class DeliveryUnavailable(DeliveryError):
    """The receiver did not answer, or with 5xx."""

    reason = Reason.UNAVAILABLE
    retryable = True


class DeliveryRateLimited(DeliveryError):
    """The receiver asked us to wait; `wait_s` is how long, when it said so."""

    reason = Reason.RATE_LIMITED
    retryable = True

    def __init__(self, message: str, *, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class DeliveryRefused(DeliveryError):
    """The receiver said no (3xx, 4xx)."""

    reason = Reason.REFUSED
    retryable = True


class DeliveryGone(DeliveryError):
    """The receiver answered 410: nobody lives there any more; `message_only`: it wants no more tries of this message."""

    reason = Reason.GONE

    def __init__(self, message: str, *, message_only: bool = False) -> None:
        super().__init__(message)
        self.message_only = message_only


class DeliveryBlocked(DeliveryError):
    """The address resolves to a place a webhook may not go."""

    reason = Reason.ADDRESS_REFUSED
