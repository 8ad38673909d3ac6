"""Envelope encryption of personal data, with a blind index to find it by.

A master key (outside the database) wraps one data key per owner (in the database); the data key
seals the owner's values with AES-256-GCM. Rotating the master key rewraps the data keys and leaves
the values alone; destroying an owner's data key erases every value of his, in backups too.
Sources: NIST SP 800-38D (GCM), NIST SP 800-57 part 1 (key hierarchy).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from steelyard.base.database import Database
from steelyard.base.settings import SettingIsInvalid, Settings
from steelyard.kernel import Refusal, RefusalKind

_FORMAT = 1
_KEY_BYTES = 32
_NONCE_BYTES = 12
_HEAD_BYTES = 9
_CACHED_KEYS = 20_000
_INDEX_OWNER = "platform:blind-index"


class ValueIsErased(Refusal):
    """The owner's key was destroyed, so the value can never be read again."""

    kind = RefusalKind.NOT_FOUND
    en = "The value of {owner} was erased."
    zh = "{owner} 的数据已删除。"


class MasterKeyIsMissing(Refusal):
    """A data key is wrapped by a master key that this process does not hold."""

    kind = RefusalKind.UNAVAILABLE
    en = "Master key {master} is not at hand; add it to STEELYARD_MASTER_KEY behind the new one."
    zh = "缺少主密钥 {master}；请将其追加到 STEELYARD_MASTER_KEY 中新密钥之后。"


class SealIsBroken(Refusal):
    """A sealed value was changed, or stands where it does not belong."""

    kind = RefusalKind.CONFLICT
    en = "A sealed value of {owner} was changed or moved."
    zh = "{owner} 的加密数据被篡改或移动。"


@dataclass(frozen=True, slots=True)
class Plain:
    """A value to seal: whose it is, where it stands (`party.phone`), and what it says."""

    owner: str
    context: str
    text: str


@dataclass(frozen=True, slots=True)
class _DataKey:
    id: int
    owner: str
    box: AESGCM


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A key-encryption key; its id is derived from it and tells nothing about it."""

    secret: bytes

    @property
    def id(self) -> str:
        """Return the first 16 hex digits of a hash of the key."""
        return hashlib.sha256(b"steelyard master key id" + self.secret).hexdigest()[:16]


class Keyring:
    """Seals and opens values; the first master key wraps, the others only unwrap."""

    def __init__(self, masters: Sequence[MasterKey]) -> None:
        assert masters, "at least one master key"
        self._masters = {key.id: key for key in masters}
        self._current = masters[0]
        self._by_id: dict[int, _DataKey] = {}
        self._by_owner: dict[str, _DataKey] = {}
        self._index_key: bytes | None = None
        self._lock = Lock()

    @classmethod
    def open(cls, settings: Settings) -> Keyring:
        """Return the keyring of an installation; development makes its key file on first use.

        Refusals
        --------
        setting_is_invalid : production without a master key, or a key that is not 32 bytes base64
        """
        if settings.master_key is not None:
            return cls([_decode_master(part) for part in settings.master_key.split(",")])
        if settings.in_production:
            raise SettingIsInvalid(
                name="STEELYARD_MASTER_KEY", value="", expected="32 bytes, base64, in production"
            )
        return cls(_keys_in_folder(settings.home / "keys"))

    @classmethod
    def for_tests(cls) -> Keyring:
        """Return a keyring with a key that everybody knows."""
        return cls([MasterKey(b"t" * _KEY_BYTES)])

    def seal(self, connection: sa.Connection, plain: str, *, owner: str, context: str) -> bytes:
        """Return one value sealed for its owner and place; see `seal_many`."""
        return self.seal_many(connection, [Plain(owner, context, plain)])[0]

    def seal_many(self, connection: sa.Connection, plains: Sequence[Plain]) -> list[bytes]:
        """Return the values sealed, in order; owners without a data key get one.

        The context is authenticated: a sealed value copied to another place does not open.

        Refusals
        --------
        value_is_erased : an owner's key was destroyed
        """
        keys = self._keys_of(connection, dict.fromkeys(plain.owner for plain in plains))
        sealed = []
        for plain in plains:
            key = keys[plain.owner]
            nonce = os.urandom(_NONCE_BYTES)
            head = bytes([_FORMAT]) + key.id.to_bytes(8, "big")
            text = key.box.encrypt(nonce, plain.text.encode(), plain.context.encode())
            sealed.append(head + nonce + text)
        return sealed

    def unseal(self, connection: sa.Connection, sealed: bytes, *, context: str) -> str:
        """Return the text of one sealed value; see `unseal_many`."""
        return self.unseal_many(connection, [(sealed, context)])[0]

    def unseal_many(
        self, connection: sa.Connection, sealed: Iterable[tuple[bytes, str]]
    ) -> list[str]:
        """Return the texts of (sealed value, context) pairs, in order.

        Refusals
        --------
        value_is_erased, seal_is_broken, master_key_is_missing
        """
        items = list(sealed)
        keys = self._load(connection, {_key_id(value) for value, _ in items})
        return [_open(value, context, keys) for value, context in items]

    def blind_index(self, connection: sa.Connection, value: str, *, field: str) -> bytes:
        """Return 32 bytes that are equal for equal values of one field, and tell nothing else.

        The caller normalises the value first. The index key survives a rotation of master keys.
        """
        if self._index_key is None:
            key = self._keys_of(connection, [_INDEX_OWNER])[_INDEX_OWNER]
            wrapped, master = connection.execute(
                sa.text("SELECT wrapped, master FROM base.data_key WHERE id = :id"), {"id": key.id}
            ).one()
            secret = self._unwrap(bytes(wrapped), master, _INDEX_OWNER)
            if _INDEX_OWNER not in self._by_owner:
                return hmac.digest(secret, f"{field}\0{value}".encode(), "sha256")
            self._index_key = secret
        return hmac.digest(self._index_key, f"{field}\0{value}".encode(), "sha256")

    def destroy(self, connection: sa.Connection, owner: str) -> bool:
        """Destroy an owner's data key, and with it all that was sealed for him.

        Returns whether there was one. Other processes forget the key when they next miss it.
        """
        gone = connection.execute(
            sa.text(
                "INSERT INTO base.data_key (owner, master, destroyed_at) VALUES (:owner, '', now())"
                " ON CONFLICT (owner) DO UPDATE SET wrapped = NULL, destroyed_at = now()"
                " WHERE base.data_key.wrapped IS NOT NULL RETURNING id"
            ),
            {"owner": owner},
        ).scalar()
        self.forget()
        return gone is not None

    def forget(self) -> None:
        """Drop the data keys held in memory."""
        with self._lock:
            self._by_id, self._by_owner = {}, {}

    def rotate(
        self,
        database: Database,
        *,
        chunk: int = 1000,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> int:
        """Rewrap every data key under the current master key; return how many were rewrapped.

        Each chunk is a transaction of its own: killed half-way and run again, it goes on.

        Refusals
        --------
        master_key_is_missing : the old master key must be on the ring too
        """
        where = "FROM base.data_key WHERE master <> :master AND wrapped IS NOT NULL"
        with database.reading() as connection:
            total = connection.execute(
                sa.text(f"SELECT count(*) {where}"), {"master": self._current.id}
            ).scalar_one()
        done = 0
        while True:
            moved = database.transact(lambda unit: self._rewrap(unit.connection, where, chunk))
            if not moved:
                return done
            done += moved
            progress(done, max(total, done))

    def _rewrap(self, connection: sa.Connection, where: str, chunk: int) -> int:
        rows = connection.execute(
            sa.text(f"SELECT id, owner, master, wrapped {where} ORDER BY id LIMIT :n FOR UPDATE"),
            {"master": self._current.id, "n": chunk},
        ).all()
        if not rows:
            return 0
        wrapped = [
            self._wrap(self._unwrap(bytes(r.wrapped), r.master, r.owner), r.owner) for r in rows
        ]
        connection.execute(
            sa.text(
                "UPDATE base.data_key k SET wrapped = n.wrapped, master = :master"
                " FROM unnest(CAST(:ids AS bigint[]), CAST(:wrapped AS bytea[])) n (id, wrapped)"
                " WHERE k.id = n.id"
            ),
            {"ids": [r.id for r in rows], "wrapped": wrapped, "master": self._current.id},
        )
        return len(rows)

    def _keys_of(self, connection: sa.Connection, owners: Iterable[str]) -> dict[str, _DataKey]:
        """Return the data key of each owner; make those missing."""
        keys = {owner: self._by_owner.get(owner) for owner in owners}
        missing = [owner for owner, key in keys.items() if key is None]
        if missing:
            connection.execute(
                sa.text(
                    "INSERT INTO base.data_key (owner, master, wrapped)"
                    " SELECT owner, :master, wrapped"
                    " FROM unnest(CAST(:owners AS text[]), CAST(:wrapped AS bytea[]))"
                    " n (owner, wrapped)"
                    " WHERE NOT EXISTS (SELECT FROM base.data_key k WHERE k.owner = n.owner)"
                    " ORDER BY owner ON CONFLICT (owner) DO NOTHING"
                ),
                {
                    "owners": missing,
                    "wrapped": [self._wrap(os.urandom(_KEY_BYTES), o) for o in missing],
                    "master": self._current.id,
                },
            )
            for key in self._read(connection, "owner = ANY(:wanted)", missing):
                keys[key.owner] = key
        return {owner: key for owner, key in keys.items() if key is not None}

    def _load(self, connection: sa.Connection, ids: set[int]) -> dict[int, _DataKey]:
        keys = {i: self._by_id[i] for i in ids if i in self._by_id}
        missing = [i for i in ids if i not in keys]
        if missing:
            keys |= {k.id: k for k in self._read(connection, "id = ANY(:wanted)", missing)}
        return keys

    def _read(
        self, connection: sa.Connection, which: str, wanted: Sequence[int | str]
    ) -> list[_DataKey]:
        """Read data keys, and remember those that no roll-back of ours can take away again."""
        rows = connection.execute(
            sa.text(
                "SELECT id, owner, master, wrapped,"
                " xmin = pg_current_xact_id_if_assigned()::xid AS is_fresh"
                f" FROM base.data_key WHERE {which}"
            ),
            {"wanted": list(wanted)},
        ).all()
        keys = []
        with self._lock:
            if len(self._by_id) + len(rows) > _CACHED_KEYS:
                self._by_id, self._by_owner = {}, {}
            for row in rows:
                if row.wrapped is None:
                    raise ValueIsErased(owner=row.owner)
                box = AESGCM(self._unwrap(bytes(row.wrapped), row.master, row.owner))
                key = _DataKey(row.id, row.owner, box)
                keys.append(key)
                if not row.is_fresh:
                    self._by_id[key.id] = self._by_owner[key.owner] = key
        return keys

    def _wrap(self, key: bytes, owner: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._current.secret).encrypt(nonce, key, owner.encode())

    def _unwrap(self, wrapped: bytes, master: str, owner: str) -> bytes:
        held = self._masters.get(master)
        if held is None:
            raise MasterKeyIsMissing(master=master)
        box = AESGCM(held.secret)
        try:
            return box.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], owner.encode())
        except InvalidTag:
            raise SealIsBroken(owner=owner) from None


def _key_id(sealed: bytes) -> int:
    return int.from_bytes(sealed[1:_HEAD_BYTES], "big")


def _open(sealed: bytes, context: str, keys: dict[int, _DataKey]) -> str:
    key = keys.get(_key_id(sealed))
    if sealed[:1] != bytes([_FORMAT]) or key is None:
        raise SealIsBroken(owner="?")
    nonce = sealed[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES]
    try:
        text = key.box.decrypt(nonce, sealed[_HEAD_BYTES + _NONCE_BYTES :], context.encode())
    except InvalidTag:
        raise SealIsBroken(owner=key.owner) from None
    return text.decode()


def _decode_master(text: str) -> MasterKey:
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != _KEY_BYTES:
        raise SettingIsInvalid(name="STEELYARD_MASTER_KEY", value="***", expected="32 bytes base64")
    return MasterKey(secret)


def _keys_in_folder(folder: Path) -> list[MasterKey]:
    """Return the keys of a folder, newest first; make one when there is none."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = sorted(folder.glob("master-*.key"), reverse=True)
    if not files:
        files = [add_master_key(folder)]
    return [_decode_master(file.read_text()) for file in files]


def add_master_key(folder: Path) -> Path:
    """Write a fresh master key beside the others, which becomes the current one."""
    number = 1 + max((int(f.stem.split("-")[1]) for f in folder.glob("master-*.key")), default=0)
    path = folder / f"master-{number:04d}.key"
    draft = folder / f".{path.name}.{os.getpid()}"
    draft.touch(mode=0o600)
    draft.write_text(base64.b64encode(os.urandom(_KEY_BYTES)).decode() + "\n")
    try:
        # A link fails where the name exists: of two processes at once, one makes the key.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path
