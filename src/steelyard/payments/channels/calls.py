"""Calls over HTTP as all adaptors make them: what did not come back is a finding, not an error."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from steelyard.payments.model.channel import Finding, RawNotice, Said
from steelyard.payments.model.notices_in import NoticeIsNotBelieved

__all__ = ["SKEW_SECONDS", "Answered", "Caller", "Disbelief", "no_answer", "small_names", "unknown"]

SKEW_SECONDS = 300
"""How far the time of a signature may lie from ours."""
_MOST_BYTES = 64_000_000
"""A statement of a day; no answer is longer."""
_MOST = 64
"""Connections to one channel."""
_PATIENCE = 3
"""An answer that drips takes this many time-outs in all, at most."""

# These fail while the connection is made: the request verifiably never left us.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: the answer, or in `missing` why there is none."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    missing: str = ""
    was_never_sent: bool = False


class Caller:
    """A pool of connections to one channel; safe in many threads.

    Parameters
    ----------
    timeout_seconds : for each of connecting, writing and reading
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._base = httpx.URL(url)
        self._patience = _PATIENCE * timeout_seconds
        self._timeout = {"timeout": httpx.Timeout(timeout_seconds).as_dict()}
        # The transport of httpx without its client: no redirects, proxies, cookies or compression
        # are wanted here, and a call takes a third less.
        limits = httpx.Limits(max_connections=_MOST, max_keepalive_connections=_MOST)
        self._transport = httpx.HTTPTransport(limits=limits, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answered:
        """Send a request, once.

        Parameters
        ----------
        path : with its query, or a whole address
        """
        is_path = path.startswith("/")
        url = self._base.copy_with(raw_path=path.encode()) if is_path else httpx.URL(path)
        request = httpx.Request(
            method, url, content=body, headers=headers, extensions=self._timeout
        )
        ends = time.monotonic() + self._patience
        try:
            response = self._transport.handle_request(request)
        except _NEVER_SENT:
            return Answered(missing="not_sent", was_never_sent=True)
        except httpx.TimeoutException:
            return Answered(missing="timed_out")
        except httpx.TransportError:
            return Answered(missing="broken_off")
        content = bytearray()
        try:
            for part in response.iter_raw():
                content += part
                if len(content) > _MOST_BYTES:
                    return Answered(missing="answer_too_long")
                if time.monotonic() > ends:
                    return Answered(missing="timed_out")
        except httpx.TimeoutException:
            return Answered(missing="timed_out")
        except httpx.TransportError:
            return Answered(missing="broken_off")
        finally:
            response.close()
        return Answered(response.status_code, response.headers, bytes(content))


def unknown(why: str) -> Finding:
    """Return that nothing is known, and why.

    Examples
    --------
    >>> unknown("timed_out").said.value
    'unknown'
    """
    return Finding(said=Said.UNKNOWN, why=why)


def no_answer(answered: Answered, *, is_first_word: bool) -> Finding | None:
    """Return the finding where nothing readable came back; None: read the answer.

    Parameters
    ----------
    is_first_word : whether the channel hears of the number by this request. Where it is asked about
        something sent before, a connection that failed says nothing about that.

    Examples
    --------
    >>> failed = Answered(missing="not_sent", was_never_sent=True)
    >>> no_answer(failed, is_first_word=True).said.value
    'not_sent'
    >>> no_answer(failed, is_first_word=False).said.value
    'unknown'
    """
    if answered.was_never_sent and is_first_word:
        return Finding(said=Said.NOT_SENT, why="not_sent")
    if answered.missing:
        return unknown(answered.missing)
    if answered.status >= 500 or answered.status == 429:
        return unknown(f"status_{answered.status}")
    return None


def small_names(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by their names in small letters."""
    return {name.lower(): value for name, value in headers.items()}


class Disbelief:
    """Says of one channel's notices why they are not believed; no value of theirs is repeated."""

    def __init__(self, channel: str) -> None:
        self._channel = channel

    def __call__(self, why: str) -> NoticeIsNotBelieved:
        """Return the refusal."""
        return NoticeIsNotBelieved(channel=self._channel, why=why)

    def check_age(self, sent_at: float, now: datetime) -> None:
        """Refuse a notice that was signed too long ago, or in the future.

        Refusals
        --------
        notice_is_not_believed
        """
        if abs(now.timestamp() - sent_at) > SKEW_SECONDS:
            raise self("too_old")

    def check_size(self, raw: RawNotice) -> None:
        """Refuse what is longer than any notice.

        Refusals
        --------
        notice_is_not_believed
        """
        if len(raw.body) > 100_000:
            raise self("too_long")
