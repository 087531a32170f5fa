from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opinion.codec import encode
from opinion.errors import ConfigError, InvalidRecord
from opinion.records import ScoredDocument
from tests.support.recordings import weeks_of_counts, weeks_of_documents
from tests.support.records import NEGATIVE, NEUTRAL, NOON, POSITIVE, scored
from tests.support.surges import COMPANY, MONDAY, STUDIED, Minutes, clear_of, filled, look, quiet, with_surge
from tests.unit.yuqing.conftest import Command
from yuqing.backtest import Row, Summary, alarms_of, backtest_file, run_backtest
from yuqing.recorded import read_recording

CRISIS = with_surge(quiet(hours=48), at_hour=30, hours=2, per_hour=40)
ROW_KEYS = [
    *("at", "subject", "status", "alert_id", "lane", "window_s", "severity", "score", "total", "negative", "expected_negative"),
    *("baseline_ratio", "ratio", "lift", "stories", "authors"),
]
SUMMARY_KEYS = ["subjects", "rows", "first_at", "last_at", "alerts", "alerts_per_subject_week", "warmup_s"]


def rows(minutes: Minutes, *, step_min: int = 1, subject: str = COMPANY, **extra: Any) -> list[bytes]:
    lines = []
    for first in range(0, len(minutes), step_min):
        part = minutes[first : first + step_min]
        row = {"at": (MONDAY + timedelta(minutes=first)).isoformat(), "subject": subject, "total": sum(t for t, _ in part), "negative": sum(n for _, n in part)}
        lines.append(json.dumps(row | extra).encode() + b"\n")
    return lines


def seconds(texts: list[ScoredDocument]) -> list[bytes]:
    return [encode(text) for text in texts]


def test_rows_and_summary_have_the_keys_of_the_contract() -> None:
    assert list(Row.__struct_fields__) == ROW_KEYS
    assert list(Summary.__struct_fields__) == SUMMARY_KEYS


def test_a_backtest_of_counts_tells_what_the_alerter_tells() -> None:
    live = look(filled(CRISIS), 48 * 60)
    found = run_backtest(rows(CRISIS), rules=STUDIED).rows
    assert [(row.at, row.status, row.alert_id, row.severity, row.score) for row in found] == [
        (item.at, item.status, item.alert_id, item.severity, item.spike.score) for item in live
    ]
    assert found


def test_five_minute_rows_find_the_same_surge() -> None:
    outcome = run_backtest(rows(CRISIS, step_min=5), rules=STUDIED)
    assert [row.status for row in outcome.rows if row.status != "updated"] == ["firing", "resolved"]
    assert timedelta(0) < outcome.rows[0].at - (MONDAY + timedelta(hours=30)) <= timedelta(minutes=35)
    assert outcome.rows[0].at.minute % 5 == 0


def test_the_summary_counts_over_subjects_and_weeks() -> None:
    summary = run_backtest([*rows(CRISIS), *rows(quiet(hours=48), subject="topic:Macro")], rules=STUDIED).summary
    assert (summary.subjects, summary.rows, summary.alerts) == (2, 2 * 48 * 60, 1)
    assert (summary.first_at, summary.last_at) == (MONDAY, MONDAY + timedelta(minutes=48 * 60 - 1))
    assert summary.alerts_per_subject_week == pytest.approx(1 / (2 * 2 / 7))
    assert summary.warmup_s == 24 * 3600


def test_an_empty_input_is_an_empty_outcome() -> None:
    outcome = run_backtest([b"\n"], rules=STUDIED)
    assert outcome.rows == []
    assert (outcome.summary.subjects, outcome.summary.first_at, outcome.summary.alerts_per_subject_week) == (0, None, 0.0)


def test_breadth_of_count_rows_is_heeded_where_it_is_given() -> None:
    hourly = rows(CRISIS, step_min=60)
    assert run_backtest(hourly, rules=STUDIED).rows[0].stories is None
    assert run_backtest(rows(CRISIS, step_min=60, stories=0), rules=STUDIED).rows
    assert run_backtest(rows(CRISIS, step_min=60, authors=1), rules=STUDIED).rows == []
    wide = run_backtest(rows(CRISIS, step_min=60, stories=30, authors=30), rules=STUDIED).rows[0]
    assert wide.stories is not None
    assert wide.stories >= 30


def test_a_story_told_by_two_hundred_is_no_alert_and_two_hundred_stories_are() -> None:
    calm = [scored(120 * n, sentiment=NEUTRAL) for n in range(300)]
    storm = [scored(30_000 + n, story="st_storm", publisher=f"p{n}.example") for n in range(200)]
    assert run_backtest(seconds(calm + storm), rules=STUDIED).rows == []
    crisis = [scored(30_000 + n, publisher=f"p{n % 9}.example") for n in range(200)]
    found = run_backtest(seconds(calm + crisis), rules=STUDIED).rows
    assert found[0].status == "firing"
    assert found[0].stories is not None


def test_one_author_posting_two_hundred_times_is_no_alert() -> None:
    calm = [scored(120 * n, sentiment=NEUTRAL, author_hash=f"a{n}") for n in range(300)]
    storm = [scored(30_000 + n, publisher="social.example", author_hash="one") for n in range(200)]
    assert run_backtest(seconds(calm + storm), rules=STUDIED).rows == []


def test_a_publisher_counts_once_per_story_and_a_copy_of_a_document_never() -> None:
    same = [scored(1, story="s"), scored(1, story="s"), scored(2, story="s"), scored(3, story="s", publisher="other.example")]
    track = read_recording(seconds(same)).tracks["topic:Macro"]
    assert track.counts.sum(axis=1).tolist() == [2, 2, 2]
    breadth = track.voices.breadth(int(NOON.timestamp()), int(NOON.timestamp()) + 600)
    assert (breadth.stories, breadth.publishers, breadth.authors) == (1, 2, 0)


def test_a_telling_counts_at_its_earliest_whatever_the_order() -> None:
    texts = [scored(600, story="s"), scored(5, story="s", sentiment=POSITIVE), scored(300, story="t", sentiment=NEGATIVE)]
    forward, backward = (read_recording(seconds(order)).tracks["topic:Macro"] for order in (texts, texts[::-1]))
    assert forward.starts_s.tolist() == backward.starts_s.tolist() == [int(NOON.timestamp()), int(NOON.timestamp()) + 300]
    assert forward.counts.tolist() == backward.counts.tolist() == [[1, 1], [0, 1], [0, 1]]


def test_documents_that_do_not_count_are_not_counted() -> None:
    stale = msgspec.structs.replace(scored(1), counted=False)
    recording = read_recording(seconds([stale]))
    assert (recording.rows, dict(recording.tracks)) == (1, {})


GOOD = rows([(1, 0)])[0]


def test_count_rows_may_say_how_many_are_clear() -> None:
    minutes = with_surge(quiet(hours=72, per_hour=60), at_hour=60, hours=2, per_hour=6)
    clear = clear_of(minutes, surge_h=(60, 62))
    told = [json.dumps(json.loads(line) | {"clear": count}).encode() for line, count in zip(rows(minutes), clear, strict=True)]
    assert run_backtest(rows(minutes), rules=STUDIED).rows == []
    assert [row.status for row in run_backtest(told, rules=STUDIED).rows if row.status != "updated"] == ["firing", "resolved"]
    track = read_recording(told).tracks[COMPANY]
    assert track.counts.sum(axis=1).tolist() == [*(sum(column) for column in zip(*minutes, strict=True)), sum(clear)]
    assert sum(manner.clear for manner in track.voices.manners()) == sum(clear)
    assert read_recording(rows(minutes)).tracks[COMPANY].voices.manners() == []


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"nonsense",
        b"[1]",
        b"\xff\xfe",
        b'{"at": "2026-11-16T00:01:00Z", "subject": "s", "total": 1, "negative": 2}',
        b'{"at": "2026-11-16T00:01:00Z", "subject": "s", "total": -1, "negative": 0}',
        b'{"at": "2026-11-16T00:01:00Z", "subject": "s", "total": 4, "negative": 1, "clear": 2}',
        b'{"at": "2026-11-16T00:01:00Z", "subject": "", "total": 1, "negative": 0}',
        b'{"at": "2026-11-16T00:01:00", "subject": "s", "total": 1, "negative": 0}',
        b'{"at": "2026-11-16T00:01:00Z", "subject": "s", "total": 1e9, "negative": 99999999999}',
        b'{"document": 1}',
        GOOD,
    ],
)
def test_a_bad_row_is_named_by_its_line(line: bytes) -> None:
    with pytest.raises(InvalidRecord, match="line 3:"):
        read_recording([GOOD, b"\n", line])


@pytest.mark.parametrize("line", [b"[]", b"x", b"1", b'{"document": {}}'])
def test_a_bad_first_row_is_named_too(line: bytes) -> None:
    with pytest.raises(InvalidRecord, match="line 1:"):
        read_recording([line])


def test_lanes_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="volume"):
        run_backtest([], rules=STUDIED, lane="volume")


def test_the_command_writes_json_lines_and_a_summary(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("theta: 3.0\n")
    out = io.BytesIO()
    backtest_file(io.BytesIO(b"".join(rows(CRISIS))), out, rules=rules, lane="share", summary=tmp_path / "summary.json")
    printed = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [list(row) for row in printed] == [ROW_KEYS] * len(printed)
    assert printed[0]["at"].endswith("Z")
    assert (printed[0]["status"], printed[0]["lane"], printed[0]["stories"]) == ("firing", "share", None)
    assert list(json.loads((tmp_path / "summary.json").read_text())) == SUMMARY_KEYS


def test_a_summary_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--summary"):
        backtest_file(io.BytesIO(), io.BytesIO(), rules=None, lane="share", summary=tmp_path / "none" / "summary.json")


@pytest.mark.parametrize(("others", "alerted"), [(0, {"entity:XDEM:HSRY"}), (60, {"entity:XDEM:HSRY", "topic:Macro"})])
def test_a_surge_of_one_company_is_no_alert_on_its_topic_unless_that_surges_without_it(others: int, alerted: set[str]) -> None:
    calm = [scored(120 * n, sentiment=NEUTRAL, subjects=("topic:Macro", "entity:XDEM:HSRY")) for n in range(300)]
    crisis = [scored(40_000 + 20 * n, subjects=("topic:Macro", "entity:XDEM:HSRY"), publisher=f"p{n % 9}.example") for n in range(60)]
    apart = [scored(40_010 + 20 * n, publisher=f"q{n % 9}.example") for n in range(others)]
    found = run_backtest(seconds([*calm, *crisis, *apart]), rules=STUDIED).rows
    assert {row.subject for row in found if row.status == "firing"} == alerted


def test_one_author_is_no_alert_among_the_usual_news_either() -> None:
    calm = [scored(90 * n, sentiment=NEGATIVE if n % 5 == 0 else NEUTRAL) for n in range(1600)]
    storm = [scored(100_000 + 7 * n, publisher="social.example", kind="social", author_hash="one") for n in range(500)]
    assert run_backtest(seconds([*calm, *storm]), rules=STUDIED).rows == []
    crowd = [scored(100_000 + 7 * n, publisher="social.example", kind="social", author_hash=f"a{n}") for n in range(500)]
    assert run_backtest(seconds([*calm, *crowd]), rules=STUDIED).rows


def test_a_window_never_shows_more_stories_or_publishers_than_negatives() -> None:
    calm = [scored(120 * n, sentiment=NEUTRAL) for n in range(300)]
    crisis = [scored(40_000 + 20 * n, publisher=f"p{n}.example") for n in range(200)]
    found = run_backtest(seconds([*calm, *crisis]), rules=STUDIED).rows
    assert found
    assert all((row.stories or 0) <= row.negative for row in found)


def test_alerts_are_stretches_of_time() -> None:
    found = run_backtest(rows(CRISIS), rules=STUDIED).rows
    (alarm,) = alarms_of(found)[COMPANY]
    first, last = found[0], found[-1]
    assert (alarm.begin_s, alarm.end_s) == (int(first.at.timestamp()), int(last.at.timestamp()))
    assert (alarm.severity, alarm.ratio, alarm.usual) == (last.severity, first.ratio, first.baseline_ratio)
    (open_end,) = alarms_of(found[:-1])[COMPANY]
    assert open_end.end_s is None


PLANTED_KEYS = [
    *("seed", "surge_s", "subjects", "left_out", "subject_weeks", "false_alarms", "false_alarms_per_subject_week"),
    *("false_alarms_per_subject_week_95", "chance_recall", "strengths"),
]


@pytest.mark.parametrize("lines", [weeks_of_counts(days=60, spoken=True), weeks_of_documents(days=24)], ids=["counts", "documents"])
def test_planted_surges_are_told_of_beside_the_record_as_it_is(command: Command, tmp_path: Path, lines: list[bytes]) -> None:
    (tmp_path / "record.jsonl").write_bytes(b"".join(lines))
    plain = command("backtest", "record.jsonl", "--summary", "plain.json")
    planted = command("backtest", "record.jsonl", "--summary", "planted.json", "--plant", "30,10", "--picture", "planted.png")
    assert (plain.exit_code, planted.exit_code) == (0, 0)
    assert planted.stdout == plain.stdout
    before, after = (json.loads((tmp_path / name).read_text()) for name in ("plain.json", "planted.json"))
    assert list(before) == SUMMARY_KEYS
    assert list(after) == [*SUMMARY_KEYS, "planted"]
    assert {key: after[key] for key in SUMMARY_KEYS} == before
    assert list(after["planted"]) == PLANTED_KEYS
    weak, strong = after["planted"]["strengths"]
    assert (weak["k"], strong["k"], strong["recall"]) == (10.0, 30.0, 1.0)
    assert strong["median_delay_min"] <= weak["median_delay_min"] < 180
    assert planted.stderr.splitlines()[-1].split()[:2] == ["30", str(strong["planted"])]
    assert (tmp_path / "planted.png").read_bytes().startswith(b"\x89PNG")


def test_a_seed_plants_the_same_and_another_differently(command: Command, tmp_path: Path) -> None:
    (tmp_path / "record.jsonl").write_bytes(b"".join(weeks_of_counts(days=40)))
    said = [command("backtest", "record.jsonl", "--plant", "5", *seed).stderr for seed in ((), (), ("--plant-seed", "4"))]
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--plant", "3,x"), "yuqing: --plant 3,x: 'x' is not a number"),
        (("--plant", "1"), "yuqing: --plant 1: 1 is not above 1 and at most 1000"),
        (("--picture", "none/x.png"), "yuqing: --picture none/x.png: No such file or directory"),
        (("--picture", "folder.png"), "yuqing: --picture folder.png: Is a directory"),
        (("--picture", "record.jsonl/x.png"), "yuqing: --picture record.jsonl/x.png: Not a directory"),
        (("--picture", "x.svg"), "yuqing: --picture x.svg: the name must end in .png"),
        (("--summary", "none/x.json"), "yuqing: --summary none/x.json: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(command: Command, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    """The record is a bad one: to be told of that would mean that it had been read."""
    (tmp_path / "record.jsonl").write_bytes(b"nonsense")
    (tmp_path / "folder.png").mkdir()
    result = command("backtest", "record.jsonl", *options)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message + "\n")


def test_a_record_too_short_to_plant_in_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "record.jsonl").write_bytes(b"".join(rows(CRISIS)))
    result = command("backtest", "record.jsonl", "--plant", "5")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no subject has a record of twenty days" in result.stderr


def test_a_picture_of_an_empty_record_is_no_failure(command: Command, tmp_path: Path) -> None:
    (tmp_path / "record.jsonl").touch()
    assert command("backtest", "record.jsonl", "--picture", "x.png").exit_code == 0
    assert (tmp_path / "x.png").stat().st_size > 1000
