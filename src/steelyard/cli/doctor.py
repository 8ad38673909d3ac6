"""`steelyard doctor`: what is wrong with an installation, and how to mend it."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import typer

from steelyard.base import Settings, read_settings
from steelyard.base.crypto import Keyring
from steelyard.base.postgres import EmbeddedPostgres, find_binaries
from steelyard.base.schema import OLDEST_SERVER, revisions
from steelyard.cli.output import AsJson, Column, language, show
from steelyard.kernel import Refusal

_LEAST_FREE_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes
    ----------
    state : ok, note (works, but worth knowing) or bad
    mend : what to do about it, empty when nothing is to be done
    """

    what: str
    state: str
    found: str
    mend: str = ""


def doctor(as_json: AsJson = False) -> None:
    """Say what is wrong with this installation and how to mend it; exit 1 if anything is."""
    findings = list(examine())
    show(
        [asdict(finding) for finding in findings],
        [
            Column("what", "looked at"),
            Column("state", "state"),
            Column("found", "found"),
            Column("mend", "what to do"),
        ],
        as_json=as_json,
    )
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Look at everything, one finding after the other; a refusal is a finding too."""
    try:
        settings = read_settings()
    except Refusal as refusal:
        yield _refused("settings", refusal, _say("mend the variable", "修正该环境变量"))
        return
    yield Finding("settings", "ok", settings.environment.value)
    looks: tuple[tuple[str, Callable[[Settings], Finding], str], ...] = (
        ("python", _python, ""),
        ("home", _home, _say("give this user a folder of its own", "换一个本用户可写的目录")),
        ("disk", _disk, ""),
        ("master key", _master_key, _say("set STEELYARD_MASTER_KEY", "设置 STEELYARD_MASTER_KEY")),
        ("postgresql", _binaries, _say("run: make setup", "运行 make setup")),
        ("database", _database, _say("run: steelyard db migrate", "运行 steelyard db migrate")),
        ("port", _port, ""),
        ("parquet export", _columns, ""),
        ("browser", _browser, ""),
    )
    for what, look, mend in looks:
        try:
            yield look(settings)
        except Refusal as refusal:
            yield _refused(what, refusal, mend)
        except OSError as error:
            yield Finding(what, "bad", str(error), mend)


def _say(en: str, zh: str) -> str:
    return zh if language().startswith("zh") else en


def _refused(what: str, refusal: Refusal, mend: str) -> Finding:
    return Finding(what, "bad", f"{refusal.code}: {refusal.sentence(language())}", mend)


def _python(settings: Settings) -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", "ok", version)


def _home(settings: Settings) -> Finding:
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    probe = settings.home / ".probe"
    probe.touch()
    probe.unlink()
    return Finding("home", "ok", str(settings.home))


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.home).free
    found = f"{free / 1e9:.1f} GB"
    if free < _LEAST_FREE_BYTES:
        return Finding("disk", "bad", found, _say("make room: 2 GB at least", "请至少留出 2 GB"))
    return Finding("disk", "ok", found)


def _master_key(settings: Settings) -> Finding:
    Keyring.open(settings)
    if settings.master_key is not None:
        return Finding("master key", "ok", "STEELYARD_MASTER_KEY")
    folder = settings.home / "keys"
    for key in folder.glob("master-*.key"):
        if stat.S_IMODE(key.stat().st_mode) & 0o077:
            return Finding(
                "master key",
                "bad",
                _say(f"others can read {key.name}", f"{key.name} 可被他人读取"),
                f"chmod 600 {key}",
            )
    return Finding(
        "master key",
        "note",
        _say(f"files in {folder}", f"密钥文件位于 {folder}"),
        _say("back them up apart from the database", "请与数据库分开备份"),
    )


def _binaries(settings: Settings) -> Finding:
    if settings.database_url is not None:
        return Finding("postgresql", "ok", _say("the operator's", "由运维方提供"))
    found = find_binaries()
    version = ".".join(str(part) for part in found.version)
    return Finding("postgresql", "ok", f"{version} ({found.source}), {OLDEST_SERVER}+ needed")


def _database(settings: Settings) -> Finding:
    if settings.database_url is None:
        state = EmbeddedPostgres(settings.home).status().state.value
    else:
        state = "STEELYARD_DATABASE_URL"
    from steelyard.web.platform import open_database_server

    with open_database_server(settings) as urls:
        stands = revisions(urls.application)
    if stands.is_current:
        return Finding("database", "ok", f"{state}; {', '.join(stands.present)}")
    mend = _say("run: steelyard db migrate", "运行 steelyard db migrate")
    missing = ", ".join(sorted(set(stands.wanted) - set(stands.present)))
    state_word = "note" if not stands.present else "bad"
    return Finding("database", state_word, _say(f"lacks {missing}", f"缺少 {missing}"), mend)


def _port(settings: Settings) -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        busy = probe.connect_ex((settings.host, settings.port)) == 0
    if not busy:
        return Finding("port", "ok", f"{settings.host}:{settings.port}")
    return Finding(
        "port",
        "note",
        _say(f"{settings.port} is in use", f"{settings.port} 已被占用"),
        _say("`up` takes the next free one", "up 会自动使用下一个空闲端口"),
    )


def _columns(settings: Settings) -> Finding:
    if importlib.util.find_spec("pyarrow") is not None:
        return Finding("parquet export", "ok", "pyarrow")
    return Finding(
        "parquet export",
        "note",
        _say("not installed", "未安装"),
        "pip install 'steelyard[columns]'",
    )


def _browser(settings: Settings) -> Finding:
    found = next((p for n in ("chromium", "google-chrome") if (p := shutil.which(n))), None)
    if found is not None:
        return Finding("browser", "ok", found)
    return Finding(
        "browser",
        "note",
        _say("none; page tests are skipped", "未找到，页面测试将跳过"),
        "apt-get install chromium",
    )
