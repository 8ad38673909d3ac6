"""Asking the platform until there is an answer: what is unknown is asked again, never given up."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import msgspec

from steelyard.base.telemetry import get_logger
from steelyard.kernel import Refusal, RefusalKind

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_MOST_FAULTS = 10
_IN_FLIGHT = "request_is_in_flight"
_TIMEOUT = httpx.Timeout(30.0, connect=3.0)


class Stopped(Exception):
    """The town was told to stop; whatever was sent last may stand or not."""


class TownWasRefused(Refusal):
    """The platform said no to something the town has to do."""

    kind = RefusalKind.CONFLICT
    en = "The platform refused {path} ({code}: {title})."
    zh = "平台拒绝了 {path}（{code}：{title}）。"


class TownClient:
    """Sends one request after the other, each until it is answered.

    A request without an answer (no connection, a time-out, a fault of the server, 429, 503) is sent
    again with the same idempotency key and the same body, so that it is done once. A server that
    answers with a fault time after time is not asked for ever.

    Parameters
    ----------
    http : with the server's address as `base_url`, signing its requests
    stop : set when the town has to stop
    """

    def __init__(self, http: httpx.Client, *, stop: threading.Event | None = None) -> None:
        self.stop = stop or threading.Event()
        self._http = http
        self._log = get_logger("town")

    def get(self, path: str) -> Any:
        """Return what stands at a path, as JSON values."""
        return self._until_answered("GET", path, None, None)

    def post(self, path: str, key: str, body: Any) -> Any:
        """Give a command and return its answer.

        Parameters
        ----------
        key : the idempotency key; the same command always has the same

        Refusals
        --------
        town_was_refused
        """
        return self._until_answered("POST", path, key, msgspec.json.encode(body))

    def _until_answered(self, method: str, path: str, key: str | None, body: bytes | None) -> Any:
        pause = _FIRST_PAUSE_S
        waited = False
        faults = 0
        while not self.stop.is_set():
            answer = self._once(method, path, key, body)
            faults += answer is not None and answer.status_code == 500
            if answer is not None and (faults >= _MOST_FAULTS or not _ask_again(answer)):
                if waited:
                    self._log.info("town_goes_on", path=path)
                return _read(path, answer)
            if not waited and pause > 1:
                waited = True
                status = None if answer is None else answer.status_code
                self._log.warning("town_waits_for_the_server", path=path, status=status)
            asked = None if answer is None else answer.headers.get("retry-after")
            self.stop.wait(max(pause, float(asked)) if asked and asked.isdecimal() else pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        raise Stopped

    def _once(
        self, method: str, path: str, key: str | None, body: bytes | None
    ) -> httpx.Response | None:
        """Return the answer, None when it is not known whether there is one."""
        headers = {} if body is None else {"content-type": "application/json"}
        if key is not None:
            headers["idempotency-key"] = key
        try:
            return self._http.request(method, path, content=body, headers=headers, timeout=_TIMEOUT)
        except httpx.TransportError:
            return None


def _ask_again(answer: httpx.Response) -> bool:
    if answer.status_code == 409:
        return bool(_problem(answer).get("code") == _IN_FLIGHT)
    return answer.status_code == 429 or answer.status_code >= 500


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        problem = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _read(path: str, answer: httpx.Response) -> Any:
    if answer.is_success:
        return msgspec.json.decode(answer.content)
    problem = _problem(answer)
    raise TownWasRefused(
        path=path,
        code=problem.get("code", answer.status_code),
        title=problem.get("title", answer.reason_phrase),
    )
