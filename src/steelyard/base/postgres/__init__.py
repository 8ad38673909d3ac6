"""The embedded PostgreSQL: found on the machine, started by the first user, stopped by the last."""

from steelyard.base.postgres.address import Address, bootstrap
from steelyard.base.postgres.binaries import Binaries, find_binaries
from steelyard.base.postgres.launcher import EmbeddedPostgres
from steelyard.base.postgres.refusals import (
    BinariesOutOfReach,
    DatabaseDidNotStart,
    DatabaseDidNotStop,
    DatabaseFilesOfAnotherVersion,
    HomeIsNotOurs,
    NoPostgresFound,
    NoServiceUser,
    PostgresTooOld,
    SocketFolderIsNotOurs,
)
from steelyard.base.postgres.server import State, Status

__all__ = [
    "Address",
    "Binaries",
    "BinariesOutOfReach",
    "DatabaseDidNotStart",
    "DatabaseDidNotStop",
    "DatabaseFilesOfAnotherVersion",
    "EmbeddedPostgres",
    "HomeIsNotOurs",
    "NoPostgresFound",
    "NoServiceUser",
    "PostgresTooOld",
    "SocketFolderIsNotOurs",
    "State",
    "Status",
    "bootstrap",
    "find_binaries",
]
