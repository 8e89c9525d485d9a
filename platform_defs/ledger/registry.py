"""The registry: the contracts that are in force, since when, by which git ref. Whether a contract may change so is decided before (contracts)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import Connection, text

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import Cadence
from platform_defs.contracts.uncollected import uncollected
from platform_defs.ledger.store import Lock, Store


@dataclass(frozen=True)
class Applied:
    """What one `apply` changed: keys, and the registry's version afterwards (unchanged if nothing did)."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    version: int

    @property
    def any(self) -> bool:
        """Whether anything changed."""
        return bool(self.added or self.changed or self.removed)


@dataclass(frozen=True)
class Revision:
    """One contract as it once was; `contract` None: it was removed."""

    version: int
    contract: Contract | None
    git_ref: str
    applied_at: datetime


_CURRENT = (
    "SELECT e.key, e.digest, h.contract FROM endpoints e JOIN contract_history h ON h.endpoint_id = e.id AND h.version = e.version "
    "WHERE e.digest IS NOT NULL ORDER BY e.key"
)
_WRITE_ENDPOINTS = (
    "INSERT INTO endpoints (key, cadence, kind, digest, code, version) SELECT w.*, :version FROM unnest(CAST(:keys AS text[]), CAST(:cadences AS text[]), "
    "CAST(:kinds AS text[]), CAST(:digests AS text[]), CAST(:codes AS text[])) AS w (key, cadence, kind, digest, code) "
    "ON CONFLICT (key, cadence) DO UPDATE SET kind = excluded.kind, digest = excluded.digest, code = excluded.code, version = excluded.version"
)
_WRITE_HISTORY = (
    "INSERT INTO contract_history (endpoint_id, version, contract, git_ref, applied_at) SELECT e.id, :version, w.contract, :git_ref, :at "
    "FROM unnest(CAST(:keys AS text[]), CAST(:cadences AS text[]), CAST(:contracts AS text[])) AS w (key, cadence, contract) "
    "JOIN endpoints e USING (key, cadence) UNION ALL SELECT id, :version, NULL, :git_ref, :at FROM unnest(CAST(:retired AS int[])) AS id"
)


class Registry:
    """Contracts in force, by key."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cached: tuple[int, Mapping[str, Contract]] = (-1, MappingProxyType({}))

    def apply(self, contracts: Iterable[Contract], git_ref: str, domains: Iterable[str] | None = None) -> Applied:
        """Puts these contracts in force, all or none; the same again changes nothing.

        Args:
            contracts: all of the domains in question.
            domains: what is not given and belongs to one of these is removed. None: whatever is not given is removed.
        """
        given = {contract.key: contract for contract in contracts}
        scope = None if domains is None else set(domains)
        with self._store.transaction() as connection:
            self._store.lock(connection, Lock.REGISTRY)
            rows = connection.execute(text("SELECT id, key, cadence, digest FROM endpoints WHERE digest IS NOT NULL")).all()
            current = {row.key: row for row in rows if scope is None or row.key.partition("/")[0] in scope}
            added = sorted(given.keys() - {row.key for row in rows})
            removed = sorted(current.keys() - given.keys())
            in_force = {row.key: row for row in rows}
            changed = sorted(key for key in given.keys() & in_force.keys() if given[key].digest != in_force[key].digest)
            version = self._version(connection)
            if not (added or removed or changed):
                return Applied((), (), (), version)
            version += 1
            stamp = {"version": version, "git_ref": git_ref, "at": self._store.clock()}
            connection.execute(text("INSERT INTO registry_versions (version, git_ref, applied_at) VALUES (:version, :git_ref, :at)"), stamp)
            # A changed cadence is a new history: its old row is retired like a removed one.
            retired = [in_force[key].id for key in removed] + [in_force[key].id for key in changed if in_force[key].cadence != given[key].cadence]
            if retired:
                connection.execute(text("UPDATE endpoints SET digest = NULL, version = :v WHERE id = ANY(:ids)"), {"v": version, "ids": retired})
            written = [given[key] for key in added + changed]
            # Arrays, not a statement a row: 40,000 contracts are then two statements.
            columns = {
                "keys": [contract.key for contract in written],
                "cadences": [contract.cadence for contract in written],
                "kinds": [contract.kind for contract in written],
                "digests": [contract.digest for contract in written],
                "codes": [contract.code_version for contract in written],
                "contracts": [contract.canonical_json() for contract in written],
                "retired": retired,
            }
            connection.execute(text(_WRITE_ENDPOINTS), stamp | columns)
            connection.execute(text(_WRITE_HISTORY), stamp | columns)
            return Applied(tuple(added), tuple(changed), tuple(removed), version)

    def version(self) -> int:
        """Grows with every apply that changes something; 0: nothing was ever applied. Cheap: what a poller asks."""
        with self._store.engine.connect() as connection:
            return self._version(connection)

    def current(self) -> Mapping[str, Contract]:
        """The contracts in force, by key; read again only when the version has changed. Not to be modified."""
        if self.version() != self._cached[0]:
            known = {contract.digest: contract for contract in self._cached[1].values()}
            with uncollected(), self._store.snapshot() as connection:
                version = self._version(connection)
                # As they come: all the texts at once are as large as what is made of them.
                rows = connection.execution_options(yield_per=1000).execute(text(_CURRENT))
                contracts = {row.key: known.get(row.digest) or Contract.model_validate_json(row.contract) for row in rows}
            self._cached = (version, MappingProxyType(contracts))
        return self._cached[1]

    def history(self, key: str) -> list[Revision]:
        """All contracts this key ever had, newest first."""
        query = text(
            "SELECT h.version, h.contract, h.git_ref, h.applied_at FROM contract_history h JOIN endpoints e ON e.id = h.endpoint_id "
            "WHERE e.key = :key ORDER BY h.version DESC, h.contract IS NULL"
        )
        with self._store.engine.connect() as connection:
            rows = connection.execute(query, {"key": key}).all()
        return [
            Revision(row.version, None if row.contract is None else Contract.model_validate_json(row.contract), row.git_ref, row.applied_at) for row in rows
        ]

    def earlier(self, keys: Iterable[str]) -> dict[str, list[Contract]]:
        """The contracts these keys had before, newest first, without the one in force: what was once stored. Keys that never had another are absent."""
        query = text(
            "SELECT e.key, h.contract FROM contract_history h JOIN endpoints e ON e.id = h.endpoint_id WHERE e.key = ANY(:keys) AND h.contract IS NOT NULL "
            "AND NOT (e.digest IS NOT NULL AND h.version = e.version) ORDER BY h.version DESC"
        )
        found: dict[str, list[Contract]] = {}
        with self._store.engine.connect() as connection:
            for row in connection.execute(query, {"keys": sorted(set(keys))}):
                found.setdefault(row.key, []).append(Contract.model_validate_json(row.contract))
        return found

    def retired(self) -> dict[str, Contract]:
        """The last contracts of keys that are in force no more: what they promised of stored data still holds."""
        query = text(
            "SELECT DISTINCT ON (e.key) e.key, h.contract FROM endpoints e JOIN contract_history h ON h.endpoint_id = e.id WHERE h.contract IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM endpoints o WHERE o.key = e.key AND o.digest IS NOT NULL) ORDER BY e.key, h.version DESC"
        )
        with self._store.engine.connect() as connection:
            return {row.key: Contract.model_validate_json(row.contract) for row in connection.execute(query)}

    def since(self, key: str, cadence: Cadence) -> datetime | None:
        """When an endpoint was first put in force; None if it never was (landing knows types that were not). Raises UnknownEndpoint."""
        number = self._store.endpoint_id(key, cadence)
        with self._store.engine.connect() as connection:
            return first_applied(connection, [number]).get(number)

    @staticmethod
    def _version(connection: Connection) -> int:
        return int(connection.execute(text("SELECT coalesce(max(version), 0) FROM registry_versions")).scalar_one())


def first_applied(connection: Connection, numbers: Iterable[int]) -> dict[int, datetime]:
    """When endpoints were first put in force, by number."""
    query = text("SELECT endpoint_id, min(applied_at) AS at FROM contract_history WHERE endpoint_id = ANY(:ids) AND contract IS NOT NULL GROUP BY 1")
    return {row.endpoint_id: row.at for row in connection.execute(query, {"ids": list(numbers)})}
