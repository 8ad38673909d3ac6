"""Settings: read once from the environment, then passed as a value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from steelyard.kernel import Refusal, RefusalKind


class Environment(StrEnum):
    """Where the platform runs; demo people, keys and the virtual clock exist outside production."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class SettingIsInvalid(Refusal):
    """An environment variable holds something that cannot be meant."""

    kind = RefusalKind.INVALID
    en = "{name}={value} cannot be used: {expected}."
    zh = "环境变量 {name}={value} 无法使用：{expected}。"


class RefusedInProduction(Refusal):
    """A convenience of development was asked for in production."""

    kind = RefusalKind.FORBIDDEN
    en = "{what} is refused when STEELYARD_ENV=production."
    zh = "STEELYARD_ENV=production 时不允许：{what}。"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that may differ between two installations.

    Attributes
    ----------
    home : folder of the embedded database, keys and logs (`STEELYARD_HOME`, `.steelyard`)
    environment : development, test or production (`STEELYARD_ENV`)
    database_url : PostgreSQL of the operator for the application role (`STEELYARD_DATABASE_URL`);
        None means the embedded one
    owner_url : the same database for the owner role, which migrates (`STEELYARD_OWNER_URL`)
    master_key : key-encryption key, base64 (`STEELYARD_MASTER_KEY`); None: a key file in `home`,
        which production refuses
    host, port : where the HTTP server listens (`STEELYARD_HOST`, `STEELYARD_PORT`)
    public_url : address under which people reach the server (`STEELYARD_PUBLIC_URL`), to which
        passkeys are bound; None: the address of each request
    workers : HTTP processes (`STEELYARD_WORKERS`)
    data : folder of data sets for imports and tests (`STEELYARD_DATA`)
    identity_provider : address of the identity provider (`STEELYARD_IDENTITY_PROVIDER`), or None
    credit_bureau : address of the credit bureau (`STEELYARD_CREDIT_BUREAU`), or None
    message_gateway : address of the message gateway (`STEELYARD_MESSAGE_GATEWAY`), or None
    custodian : address of the bank that keeps our clients' funds (`STEELYARD_CUSTODIAN`), or None:
        then nobody is paid out
    custodian_secret : shared with it (`STEELYARD_CUSTODIAN_SECRET`)
    webhook_loopback : whether webhooks may go to this very machine
        (`STEELYARD_WEBHOOK_LOOPBACK`, `yes` or `no`), for tests and the simulated town; never in
        production
    log_level, log_format : least level that is logged (`STEELYARD_LOG_LEVEL`), as json or text
        (`STEELYARD_LOG_FORMAT`)
    """

    home: Path
    environment: Environment = Environment.DEVELOPMENT
    database_url: str | None = None
    owner_url: str | None = None
    master_key: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None
    workers: int = 2
    data: Path = Path("../shared/data")
    identity_provider: str | None = None
    credit_bureau: str | None = None
    message_gateway: str | None = None
    custodian: str | None = None
    custodian_secret: str | None = field(default=None, repr=False)
    webhook_loopback: bool = False
    log_level: str = "INFO"
    log_format: str = "text"

    @property
    def in_production(self) -> bool:
        """Whether conveniences of development are refused."""
        return self.environment is Environment.PRODUCTION

    def refuse_in_production(self, what: str) -> None:
        """Refuse `what` where real money lives.

        Refusals
        --------
        refused_in_production
        """
        if self.in_production:
            raise RefusedInProduction(what=what)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in a mapping of environment variables (default: the process's own).

    Refusals
    --------
    setting_is_invalid : a number out of range, an unknown environment or log format

    Examples
    --------
    >>> read_settings({"STEELYARD_PORT": "9000"}).port
    9000
    """
    env = os.environ if environment is None else environment

    def number(name: str, default: int, *, low: int, high: int) -> int:
        text = env.get(name) or str(default)
        if not text.isdecimal() or not low <= int(text) <= high:
            raise SettingIsInvalid(name=name, value=text, expected=f"a number {low}..{high}")
        return int(text)

    def choice(name: str, default: str, options: tuple[str, ...]) -> str:
        text = env.get(name) or default
        if text not in options:
            raise SettingIsInvalid(name=name, value=text, expected=" | ".join(options))
        return text

    def address(name: str) -> str | None:
        text = (env.get(name) or "").rstrip("/")
        parts = urlsplit(text)
        if text and (parts.scheme not in ("http", "https") or not parts.hostname or parts.path):
            raise SettingIsInvalid(name=name, value=text, expected="http(s)://, a host, no path")
        return text or None

    kind = choice("STEELYARD_ENV", "development", tuple(Environment))
    # Whoever may name an address there could make us call ourselves.
    allowed = ("no",) if kind == Environment.PRODUCTION else ("yes", "no")
    loopback = choice("STEELYARD_WEBHOOK_LOOPBACK", "no", allowed)
    return Settings(
        home=Path(env.get("STEELYARD_HOME") or ".steelyard").absolute(),
        environment=Environment(kind),
        database_url=env.get("STEELYARD_DATABASE_URL") or None,
        owner_url=env.get("STEELYARD_OWNER_URL") or None,
        master_key=env.get("STEELYARD_MASTER_KEY") or None,
        host=env.get("STEELYARD_HOST") or "127.0.0.1",
        port=number("STEELYARD_PORT", 8000, low=0, high=65535),
        public_url=address("STEELYARD_PUBLIC_URL"),
        workers=number("STEELYARD_WORKERS", 2, low=1, high=64),
        data=Path(env.get("STEELYARD_DATA") or "../shared/data"),
        identity_provider=env.get("STEELYARD_IDENTITY_PROVIDER") or None,
        credit_bureau=address("STEELYARD_CREDIT_BUREAU"),
        message_gateway=address("STEELYARD_MESSAGE_GATEWAY"),
        custodian=address("STEELYARD_CUSTODIAN"),
        custodian_secret=env.get("STEELYARD_CUSTODIAN_SECRET") or None,
        webhook_loopback=loopback == "yes",
        log_level=choice("STEELYARD_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        log_format=choice("STEELYARD_LOG_FORMAT", "text", ("text", "json")),
    )
