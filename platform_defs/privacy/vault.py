"""The vault: a database of its own that holds one random key per person, and nothing that says who the person is.

A person is found by a keyed hash of kind and id. The person's key is wrapped by a vault key (of an epoch), vault keys and the two naming keys by the
key-encryption key outside the database. What is derived from a person's key belongs to pseudonyms and encryption; erasing people comes on top of the
tables here (`tombstones`, `generation`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from platform_defs.privacy.identity import KEY_BYTES, lookup_of, lookups_of
from platform_defs.privacy.keys import KeyEncryptionKey, KeyProblem

_NONCE_BYTES = 12
_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + 16  # nonce, key, tag
# People a statement: 20,000 are 2 MB of text and some 0.2 s, so that a lock on a new person is short.
_CHUNK = 20_000
_CREATE_LOCK = 0x7661756C74  # "vault"
_NO_KEY = b""

_metadata = sa.MetaData()
_naming_keys = sa.Table(
    "naming_keys",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True, comment="index: of lookups; event: of event ids"),
    sa.Column("kek", sa.Text, nullable=False, comment="which key-encryption key wrapped it"),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
_vault_keys = sa.Table(
    "vault_keys",
    _metadata,
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kek", sa.Text, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)
_persons = sa.Table(
    "persons",
    _metadata,
    sa.Column("lookup", sa.LargeBinary, primary_key=True, comment="16 bytes of HMAC(index key, kind || id)"),
    sa.Column("epoch", sa.Integer, sa.ForeignKey("vault_keys.epoch"), nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False, comment="the person's key under the vault key of that epoch; deleted with the row on erasure"),
    sa.Column("generation", sa.Integer, nullable=False, server_default="0", comment="enters every pseudonym; a higher one gives new pseudonyms"),
    sa.CheckConstraint(f"octet_length(wrapped) = {_WRAPPED_BYTES}", name="wrapped_length"),
)
_tombstones = sa.Table(
    "tombstones",
    _metadata,
    sa.Column("lookup", sa.LargeBinary, primary_key=True),
    sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False, comment="the intake drops what happened before"),
)

# Each person by the index. Left to itself the database reads the whole table for a chunk of a hundredth of it: 18 us a person of 600,000, so 2.
_BY_INDEX = sa.text("SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
# One row a chunk: as rows of their own, the driver takes 12 us a person to hand them over, a third of the whole.
_READ = sa.text(
    "SELECT array_agg(w.at ORDER BY w.at), array_agg(p.epoch ORDER BY w.at), array_agg(p.generation ORDER BY w.at), string_agg(p.wrapped, '' ORDER BY w.at) "
    "FROM unnest(CAST(:lookups AS bytea[])) WITH ORDINALITY AS w(lookup, at) JOIN persons p ON p.lookup = w.lookup"
)
_ERASED = sa.text("SELECT lookup, erased_at FROM tombstones WHERE lookup = ANY(CAST(:lookups AS bytea[]))")
_ADD = sa.text(
    "INSERT INTO persons (lookup, epoch, wrapped) SELECT n.lookup, :epoch, n.wrapped "
    "FROM unnest(CAST(:lookups AS bytea[]), CAST(:wrapped AS bytea[])) AS n(lookup, wrapped) ON CONFLICT (lookup) DO NOTHING"
)


# Of SQLAlchemy: the driver's word that the server is gone or going, and that no connection became free.
_AWAY = (OperationalError, InterfaceError, PoolTimeout)


class VaultUnavailable(RuntimeError):
    """The vault cannot be asked now. It passes by itself: nothing is the matter with what was asked."""


class Person(NamedTuple):
    """What the vault knows of one person.

    Attributes:
        key: 32 random bytes; everything stored about the person is derived from it. Never leaves the process that read it.
        generation: see the table.
        erased_at: what happened before is to be dropped; None if the person never was erased.
    """

    key: bytes
    generation: int
    erased_at: datetime | None

    def __repr__(self) -> str:
        return "Person(...)"


@dataclass(repr=False)
class People:
    """What the vault knows of some people, by their places in what was asked. Not an object a person: Python's collector would go through millions of them,
    a third of the time.

    Attributes:
        keys, generations, erased_at: see Person; a generation that is not here is 0, who is not in `erased_at` never was erased.
    """

    keys: list[bytes]
    generations: dict[int, int] = field(default_factory=dict)
    erased_at: dict[int, datetime] = field(default_factory=dict)


class Vault:
    """The vault of one installation. Threads may share it.

    Args:
        url: SQLAlchemy URL of the vault's own database, under its own role.
        kek: opens the keys in it.
    """

    def __init__(self, url: str, kek: KeyEncryptionKey) -> None:
        # Parameters stay out of error texts: they hold wrapped keys.
        self._engine = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True)
        self._url, self._kek = url, kek
        self._naming: dict[str, bytes] = {}
        self._ciphers: dict[int, AESGCM] = {}

    def elsewhere(self) -> Callable[[], Vault]:
        """What opens this vault in another process; see KeyEncryptionKey.elsewhere."""
        return partial(_opened, self._url, self._kek.elsewhere())

    def create(self) -> None:
        """Makes what is missing: tables, naming keys, the first vault key. Idempotent, also when several do it at once.

        Raises KeyProblem if the vault was made with another key-encryption key.
        """
        with self._connected() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATE_LOCK)))
            _metadata.create_all(connection)
            known = {row.name for row in connection.execute(sa.select(_naming_keys.c.name))}
            for name in ("index", "event"):
                if name not in known:
                    wrapped = self._kek.wrap(secrets.token_bytes(KEY_BYTES), f"{name} key")
                    connection.execute(_naming_keys.insert().values(name=name, kek=self._kek.key_id, wrapped=wrapped))
            if connection.execute(sa.select(sa.func.count()).select_from(_vault_keys)).scalar_one() == 0:
                self._add_epoch(connection, 1)
        self._named("index")

    def close(self) -> None:
        """Ends the connections."""
        self._engine.dispose()

    @property
    def event_key(self) -> bytes:
        """The key of `identity.event_id`. It never changes, or an hour built again would name its events anew."""
        return self._named("event")

    def lookup(self, kind: str, identifier: str) -> bytes:
        """Where a person's row is."""
        return lookup_of(self._named("index"), kind, identifier)

    def people(self, kind: str, identifiers: Collection[str]) -> People:
        """The people of these ids; whoever is seen for the first time gets a key.

        Two processes that meet the same new person at once get the same key. Bulk: three or four statements per 20,000 people. Raises
        VaultUnavailable, and KeyProblem for a row that was changed.
        """
        lookups = lookups_of(self._named("index"), kind, identifiers)
        found = People([_NO_KEY] * len(lookups))
        # As the index has them, by their first half: neighbours are read together, 2 us a person instead of 4.
        order = np.frombuffer(b"".join(lookups), ">u8")[::2].argsort().tolist()
        for first in range(0, len(order), _CHUNK):
            self._chunk(lookups, order[first : first + _CHUNK], found)
        return found

    def find(self, kind: str, identifier: str) -> Person | None:
        """One person, who is not added if unknown."""
        found = People([_NO_KEY])
        with self._connected() as connection:
            self._read(connection, [self.lookup(kind, identifier)], [0], found)
        return Person(found.keys[0], found.generations.get(0, 0), found.erased_at.get(0)) if found.keys[0] else None

    def rotate(self) -> int:
        """Starts an epoch: people seen from now on are wrapped by a new vault key. No pseudonym changes. Returns the epoch."""
        with self._connected() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATE_LOCK)))
            epoch = self._newest_epoch(connection) + 1
            self._add_epoch(connection, epoch)
        return epoch

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """A transaction. Raises VaultUnavailable if the database is not there, ends it, or has no room."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except (DBAPIError, PoolTimeout) as error:
            # A server that ends in the midst of a statement is told by a plain DatabaseError: that the connection is of no use any more says it.
            if not isinstance(error, _AWAY) and not error.connection_invalidated:
                raise
            raise VaultUnavailable("the vault's database does not answer: see `backline status`") from error

    def _chunk(self, lookups: Sequence[bytes], places: Sequence[int], found: People) -> None:
        """Finds the people at some places of the lookups, or adds them."""
        with self._connected() as connection:
            self._read(connection, lookups, places, found)
            new = [place for place in places if not found.keys[place]]
            if not new:
                return
            epoch = self._newest_epoch(connection)
            cipher = self._cipher(connection, epoch)
            # In the order of the lookups, so that two processes that add the same people wait for each other and never for ever.
            added = sorted({lookups[place] for place in new})
            wrapped = []
            for lookup in added:
                nonce = secrets.token_bytes(_NONCE_BYTES)
                # The lookup is authenticated: a row's key moved to another row does not open.
                wrapped.append(nonce + cipher.encrypt(nonce, secrets.token_bytes(KEY_BYTES), lookup))
            connection.execute(_ADD, {"epoch": epoch, "lookups": _array(added), "wrapped": _array(wrapped)})
        # Read back, and in a new transaction: where another process was first, its key is the person's.
        with self._connected() as connection:
            self._read(connection, lookups, new, found)
        if not all(found.keys[place] for place in new):
            raise VaultUnavailable("people were taken out of the vault while they were being added: asked again, they are others")

    def _read(self, connection: sa.Connection, lookups: Sequence[bytes], places: Sequence[int], found: People) -> None:
        """Finds the people at some places of the lookups who are there."""
        asked = [lookups[place] for place in places]
        given = {"lookups": _array(asked)}
        connection.execute(_BY_INDEX)
        numbers, epochs, generations, sealed = connection.execute(_READ, given).one()
        erased_at = {bytes(row.lookup): row.erased_at for row in connection.execute(_ERASED, given)}
        if erased_at:
            found.erased_at.update({place: erased_at[lookup] for place, lookup in zip(places, asked, strict=True) if lookup in erased_at})
        if numbers is None:
            return
        wrapped, ciphers = bytes(sealed), {epoch: self._cipher(connection, epoch) for epoch in set(epochs)}
        for start, number, epoch, generation in zip(count(0, _WRAPPED_BYTES), numbers, epochs, generations, strict=False):
            place, opens = places[number - 1], start + _NONCE_BYTES
            try:
                found.keys[place] = ciphers[epoch].decrypt(wrapped[start:opens], wrapped[opens : start + _WRAPPED_BYTES], lookups[place])
            except InvalidTag:
                raise KeyProblem(f"a person's key does not open with the vault key of epoch {epoch}: the vault's rows were changed. Restore it") from None
            if generation:
                found.generations[place] = generation

    def _named(self, name: str) -> bytes:
        if name not in self._naming:
            with self._connected() as connection:
                row = connection.execute(sa.select(_naming_keys.c.kek, _naming_keys.c.wrapped).where(_naming_keys.c.name == name)).one()
            self._naming[name] = self._open(row.kek, row.wrapped, f"{name} key")
        return self._naming[name]

    def _cipher(self, connection: sa.Connection, epoch: int) -> AESGCM:
        if epoch not in self._ciphers:
            row = connection.execute(sa.select(_vault_keys.c.kek, _vault_keys.c.wrapped).where(_vault_keys.c.epoch == epoch)).one()
            self._ciphers[epoch] = AESGCM(self._open(row.kek, row.wrapped, f"vault key {epoch}"))
        return self._ciphers[epoch]

    def _open(self, kek: str, wrapped: bytes, purpose: str) -> bytes:
        if kek != self._kek.key_id:
            raise KeyProblem(f"the vault was made with the key-encryption key {kek}, but {self._kek.key_id} was given: give the one that made it")
        return self._kek.unwrap(bytes(wrapped), purpose)

    def _newest_epoch(self, connection: sa.Connection) -> int:
        return int(connection.execute(sa.select(sa.func.max(_vault_keys.c.epoch))).scalar_one())

    def _add_epoch(self, connection: sa.Connection, epoch: int) -> None:
        wrapped = self._kek.wrap(secrets.token_bytes(KEY_BYTES), f"vault key {epoch}")
        connection.execute(_vault_keys.insert().values(epoch=epoch, kek=self._kek.key_id, wrapped=wrapped))


def _opened(url: str, kek: Callable[[], KeyEncryptionKey]) -> Vault:
    return Vault(url, kek())


def _array(values: list[bytes]) -> str:
    """A bytea[] as one text: adapted value by value, a chunk of 20,000 would take the driver longer than the database."""
    return '{"\\\\x' + '","\\\\x'.join(value.hex() for value in values) + '"}' if values else "{}"
