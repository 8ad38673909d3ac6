"""Telemetry: nothing secret gets out, and what is counted adds up over processes."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from steelyard.base import Environment, Settings
from steelyard.base.telemetry import (
    configure_logs,
    configure_tracing,
    get_logger,
    log_context,
    mask_fields,
    mask_text,
    metrics,
    span,
    tracing,
)
from steelyard.base.telemetry.masking import MASK, is_secret_name

SETTINGS = Settings(home=Path("."), environment=Environment.TEST, log_level="DEBUG")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configuration = structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configuration)


def logged(log_format: str) -> io.StringIO:
    stream = io.StringIO()
    configure_logs(
        Settings(home=Path("."), log_level="DEBUG", log_format=log_format), stream=stream
    )
    return stream


# What must never get out


def _luhn_ended(digits: str) -> str:
    total = sum(
        int(d) if place % 2 else sum(divmod(2 * int(d), 10))
        for place, d in enumerate(reversed(digits))
    )
    return digits + str(-total % 10)


unhurried = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
DIGITS = st.characters(min_codepoint=48, max_codepoint=57)
TOKENISH = st.text(
    st.sampled_from("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789-_"),
    min_size=12,
    max_size=40,
)
phones = st.text(DIGITS, min_size=9, max_size=9).map(lambda rest: f"13{rest}")
emails = st.tuples(
    st.text(st.sampled_from("abcxyz.019_+-"), min_size=1, max_size=12).map(lambda s: f"u{s}"),
    st.sampled_from(["bank.cn", "mail.example.com", "a-b.co.uk"]),
).map("@".join)
cards = st.text(DIGITS, min_size=12, max_size=18).map(lambda d: _luhn_ended(f"4{d[1:]}"))
residents = st.tuples(
    st.text(DIGITS, min_size=5, max_size=5),
    st.dates().filter(lambda d: 1900 <= d.year < 2030),
    st.text(DIGITS, min_size=3, max_size=3),
    st.sampled_from("0123456789X"),
).map(lambda p: f"3{p[0]}{p[1]:%Y%m%d}{p[2]}{p[3]}")
bearers = TOKENISH.map(lambda token: f"Bearer {token}")
shaped = st.one_of(phones, emails, cards, residents, bearers)
secret_keys = st.sampled_from(
    [
        "password",
        "new_password",
        "clientSecret",
        "access_token",
        "code",
        "Authorization",
        "Set-Cookie",
        "name",
        "legal_name",
        "phone",
        "PhoneNumber",
        "email",
        "id_number",
        "idNumber",
        "home_address",
        "birth_date",
        "X-Api-Key",
        "身份证号",
    ]
)
around = st.text(st.sampled_from("a b.,;!?()中文\n\t"), max_size=12)


def essence(secret: str) -> str:
    """The part of a planted value that must not be found."""
    return secret.removeprefix("Bearer ")


class TestMasking:
    @unhurried
    @given(shaped, around, around)
    def test_a_value_of_a_secret_shape_is_found_in_any_sentence(
        self, secret: str, before: str, after: str
    ) -> None:
        text = f"{before} {secret} {after}"
        assert essence(secret) not in mask_text(text)

    @unhurried
    @given(secret_keys, TOKENISH, st.sampled_from(["{}={}", '{}="{}"', '"{}": "{}"', "'{}': '{}'"]))
    def test_a_value_behind_a_secret_name_is_found_in_any_notation(
        self, key: str, secret: str, notation: str
    ) -> None:
        for text in (notation.format(key, secret), f"url: /?a=1&{notation.format(key, secret)}"):
            assert secret not in mask_text(text)

    @unhurried
    @given(st.recursive(shaped, lambda inner: st.lists(inner) | st.dictionaries(shaped, inner)))
    def test_no_depth_hides_a_value(self, value: object) -> None:
        text = json.dumps(mask_fields({"field": value}), ensure_ascii=False)
        assert mask_text(text) == text
        for planted in _leaves(value):
            assert essence(planted) not in text

    @unhurried
    @given(st.text(max_size=200))
    def test_masking_twice_is_masking_once_and_never_fails(self, text: str) -> None:
        once = mask_text(text)
        assert mask_text(once) == once

    def test_what_a_database_says_of_rows_and_parameters_is_taken_out(self) -> None:
        told = mask_text(
            "(psycopg.errors.NotNullViolation) null value\n"
            "DETAIL:  Failing row contains (7, Li Lei, null).\n"
            "Key (tax_no)=(99 88) already exists.\n"
            "[SQL: INSERT INTO t VALUES (%(a)s)]\n[parameters: {'a': 'Han Meimei'}]\n(Background)"
        )
        assert not {"Li Lei", "99 88", "Han Meimei"} & set(_pieces(told))
        assert "INSERT INTO t" in told
        assert "Background" in told

    def test_what_people_need_to_see_stays(self) -> None:
        text = (
            "GET /v1/transfers/0190a5b0-1234-7123-9234-123456789012 answered 201 in 12.5 ms"
            " at 2026-03-02T09:00:00.123456+00:00 for staff:7, amount_minor=1234500, lag=3"
        )
        assert mask_text(text) == text
        fields = {"status_code": 201, "currency_code": "CNY", "amount_minor": 1234500, "ok": True}
        assert mask_fields(fields) == fields

    def test_url_credentials_and_cookies_are_taken_out(self) -> None:
        assert mask_text("postgresql://app:hunter2@db/x") == f"postgresql://{MASK}@db/x"
        assert "s1" not in mask_text("Cookie: a=1; session=s1; b=2")

    @pytest.mark.parametrize(
        "name", ["event_name", "statusCode", "job_name", "hostname", "decoder"]
    )
    def test_harmless_names_are_harmless(self, name: str) -> None:
        assert not is_secret_name(name)

    def test_long_text_is_cut_before_it_costs(self) -> None:
        assert len(mask_text("Key (" * 100_000)) < 21_000


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)


def _pieces(text: str) -> list[str]:
    return [piece for piece in ("Li Lei", "99 88", "Han Meimei") if piece in text]


class TestLogs:
    @pytest.mark.parametrize("log_format", ["json", "text"])
    @unhurried
    @given(secret=shaped, key=secret_keys, token=TOKENISH)
    def test_no_planted_secret_reaches_the_output(
        self, log_format: str, secret: str, key: str, token: str
    ) -> None:
        stream = logged(log_format)
        log = get_logger("tests")
        plain = logging.getLogger("library")
        with log_context(request_id="r-1", who=secret):
            log.info(f"said {secret}", **{key: token}, deep=[{key: token, "x": (secret,)}])
            plain.warning("said %s and %s=%s", secret, key, token)
            try:
                try:
                    raise KeyError(secret)
                except KeyError as error:
                    raise ValueError({key: token}) from error
            except ValueError as error:
                log.exception("failed", error=error)
                plain.exception("failed")
        out = stream.getvalue()
        assert essence(secret) not in out
        assert token not in out
        assert out.count("ValueError") >= 2

    def test_json_is_one_event_a_line_with_its_context(self) -> None:
        stream = logged("json")
        with log_context(request_id="r-1", actor="staff:7"):
            get_logger("ledger").info("posted", transfers=3)
            logging.getLogger("uvicorn.error").info("started")
        get_logger("ledger").info("after")
        posted, started, after = map(json.loads, stream.getvalue().splitlines())
        assert posted["event"] == "posted"
        assert posted["logger"] == "ledger"
        assert (posted["request_id"], posted["actor"], posted["transfers"]) == ("r-1", "staff:7", 3)
        assert (started["logger"], started["actor"]) == ("uvicorn.error", "staff:7")
        assert "actor" not in after

    def test_the_level_is_kept(self) -> None:
        stream = io.StringIO()
        configure_logs(Settings(home=Path("."), log_level="WARNING"), stream=stream)
        get_logger("x").info("quiet")
        logging.getLogger("x").info("quiet")
        get_logger("x").warning("loud")
        assert stream.getvalue().count("\n") == 1


def values(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


class TestMetrics:
    def test_counts_of_several_processes_add_up(self, tmp_path: Path) -> None:
        shared = metrics.prepare_metrics(Settings(home=tmp_path))
        environment = {**os.environ, **shared}
        count = (
            "from steelyard.base.telemetry import metrics\n"
            "metrics.EVENTS.labels(kind='a.B').inc(2)\n"
            "metrics.UNIT_SECONDS.observe(0.2)\n"
        )
        show = count + "import sys; sys.stdout.buffer.write(metrics.expose()[0])"
        for code in (count, count):
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        shown = subprocess.run(
            [sys.executable, "-c", show], env=environment, check=True, capture_output=True
        )
        found = values(shown.stdout)
        assert found["steelyard_events_appended_total", ("a.B",)] == 6
        assert found["steelyard_unit_of_work_seconds_count", ()] == 3
        metrics.prepare_metrics(Settings(home=tmp_path))
        assert list((tmp_path / "metrics").iterdir()) == []

    def test_a_gauge_is_read_when_asked_and_absent_when_it_cannot_be(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(metrics._GAUGES, "reads", {})
        lag = {"interest": 3.0}
        metrics.watch_gauge(
            "steelyard_consumer_lag_events", "Events behind", label="consumer", read=lambda: lag
        )
        metrics.watch_gauge(
            "steelyard_broken", "Cannot be read", label="x", read=lambda: {"a": 1 / 0}
        )
        first = values(metrics.expose()[0])
        lag["interest"] = 0.0
        second = values(metrics.expose()[0])
        assert first["steelyard_consumer_lag_events", ("interest",)] == 3
        assert second["steelyard_consumer_lag_events", ("interest",)] == 0
        assert first["steelyard_gauge_unreadable", ("steelyard_broken",)] == 1
        assert ("steelyard_broken", ("a",)) not in first

    def test_a_block_is_timed_however_it_ends(self) -> None:
        before = values(metrics.expose()[0]).get(("steelyard_unit_of_work_seconds_count", ()), 0)
        with pytest.raises(ZeroDivisionError), metrics.timed(metrics.UNIT_SECONDS):
            raise ZeroDivisionError
        after = values(metrics.expose()[0])
        assert after["steelyard_unit_of_work_seconds_count", ()] == before + 1


class TestTracing:
    def test_without_a_collector_a_span_only_runs_its_block(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(tracing.ENDPOINT, raising=False)
        assert not configure_tracing(SETTINGS)
        ran = []
        with span("post", book=7):
            ran.append(1)
        assert ran == [1]

    def test_spans_carry_masked_attributes_and_errors(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        exporting = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
        exporter = exporting.InMemorySpanExporter()
        monkeypatch.setattr(tracing, "_tracer", None)
        assert configure_tracing(SETTINGS, exporter=exporter)
        with (
            pytest.raises(ValueError, match="no account"),
            log_context(request_id="r-1"),
            span("post", book=7, phone="13800138000"),
        ):
            raise ValueError("no account for a.li@bank.cn")
        (finished,) = exporter.get_finished_spans()
        assert finished.name == "post"
        assert finished.attributes == {"book": 7, "phone": MASK, "request_id": "r-1"}
        assert "a.li" not in finished.to_json()
        assert not finished.status.is_ok
