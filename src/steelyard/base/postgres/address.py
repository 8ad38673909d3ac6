"""Where a server answers, and the roles and database that every installation has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

SUPERUSER = "postgres"

_BOOTSTRAP_LOCK = 0x57EE_17A2_D000_0001
"""Key of the advisory lock under which roles and databases are made."""

_IDLE_LIMIT = "60s"
"""A transaction that idles longer would hold up every reader of events."""


@dataclass(frozen=True, slots=True)
class Address:
    """The socket of a PostgreSQL server on this machine.

    Attributes
    ----------
    socket_dir : folder of the socket, absolute
    port : the number in the socket's name; nothing listens on TCP

    Examples
    --------
    >>> here = Address(Path("/run/town"), 5432)
    >>> here.url(role="steelyard_app", database="steelyard")
    'postgresql+psycopg://steelyard_app@/steelyard?host=%2Frun%2Ftown&port=5432'
    >>> here.conninfo(role="steelyard_app", database="steelyard")
    'user=steelyard_app dbname=steelyard host=/run/town port=5432'
    """

    socket_dir: Path
    port: int

    def url(self, *, role: str, database: str) -> str:
        """Return the SQLAlchemy URL of a role and a database."""
        where = urlencode({"host": str(self.socket_dir), "port": self.port})
        return f"postgresql+psycopg://{quote(role, safe='')}@/{quote(database, safe='')}?{where}"

    def conninfo(self, *, role: str, database: str) -> str:
        """Return the libpq connection string of a role and a database."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(
            user=role, dbname=database, host=str(self.socket_dir), port=str(self.port)
        )


def bootstrap(
    address: Address,
    *,
    owner: str = "steelyard_owner",
    application: str = "steelyard_app",
    database: str = "steelyard",
) -> None:
    """Make the two roles and the database where they are missing.

    Running it again changes nothing, and several processes may run it at once.

    Parameters
    ----------
    address : a server of the launcher
    owner : role that owns the database and migrates it; may create databases, is no superuser
    application : role of everything else; may only connect and make temporary tables until a
        migration grants it more
    database : UTF-8, in the order of code points; only the two roles may connect to it
    """
    import psycopg
    from psycopg.sql import SQL, Identifier

    names = {
        "owner": Identifier(owner),
        "application": Identifier(application),
        "database": Identifier(database),
    }
    conninfo = address.conninfo(role=SUPERUSER, database="postgres")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_BOOTSTRAP_LOCK,))
        roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for role, rights in ((owner, SQL("CREATEDB")), (application, SQL("NOCREATEDB"))):
            verb = SQL("ALTER") if role in roles else SQL("CREATE")
            connection.execute(
                SQL(
                    "{} ROLE {} LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS {}"
                ).format(verb, Identifier(role), rights)
            )
            connection.execute(
                SQL("ALTER ROLE {} SET idle_in_transaction_session_timeout = {}").format(
                    Identifier(role), _IDLE_LIMIT
                )
            )
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
        if found.fetchone() is None:
            create = "CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'"
            connection.execute(SQL(create).format(**names))
        for statement in (
            "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
            "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {application}",
        ):
            connection.execute(SQL(statement).format(**names))
