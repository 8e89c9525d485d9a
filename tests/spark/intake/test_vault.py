"""The vault on a real Postgres: one key a person whoever asks and however often, nothing readable in the database, hooks of erasure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from platform_defs.contracts.contract import PersonalMark
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.privacy.deriving import pseudonym
from platform_defs.privacy.encryption import FieldCipher
from platform_defs.privacy.keys import FileKek, KeyProblem
from platform_defs.privacy.pseudonyms import PrivateFolder, folders, sweep, write_people
from platform_defs.privacy.vault import Vault, VaultUnavailable
from platform_defs.privacy.workers import Deriver
from tests.fixtures.people import people_of
from tests.spark.intake.lines import field

KEK = FileKek("test", bytes(range(32)))


@pytest.fixture
def new_vault(postgres: EmbeddedPostgres) -> Iterator[Callable[..., Vault]]:
    made: list[Vault] = []
    name = "vault_people"
    postgres.drop_database(name)
    postgres.create_database(name)

    def make(kek: FileKek = KEK) -> Vault:
        made.append(Vault(postgres.uri(name), kek))
        return made[-1]

    yield make
    for vault in made:
        vault.close()
    postgres.drop_database(name)


@pytest.fixture
def vault(new_vault: Callable[..., Vault]) -> Vault:
    vault = new_vault()
    vault.create()
    return vault


def run(postgres: EmbeddedPostgres, statement: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(postgres.uri("vault_people"))
    with engine.begin() as connection:
        result = connection.execute(sa.text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def ids(first: int, last: int) -> list[tuple[str, str]]:
    return [("person", f"user-{i}") for i in range(first, last)]


def test_a_person_keeps_the_key_in_any_order_and_any_process(vault: Vault, new_vault: Callable[..., Vault]) -> None:
    first = people_of(vault, ids(0, 50))
    again = people_of(new_vault(), list(reversed(ids(0, 50))))
    assert first == list(reversed(again))
    assert len({person.key for person in first}) == 50
    assert people_of(vault, []) == []


def test_asking_twice_in_one_call_and_by_another_kind(vault: Vault) -> None:
    one, two, other = people_of(vault, [("person", "7"), ("person", "7"), ("device", "7")])
    assert one == two
    assert one.key != other.key


def test_many_that_meet_the_same_new_people_get_the_same_keys(vault: Vault, new_vault: Callable[..., Vault]) -> None:
    vaults = [new_vault() for _ in range(6)]
    wanted = ids(0, 3000)
    with ThreadPoolExecutor(6) as pool:
        # Each in another order and over another, overlapping part, many chunks' worth of statements at once.
        asked = [wanted[i * 200 : i * 200 + 2000][:: (-1) ** i] for i in range(6)]
        answers = list(pool.map(lambda pair: people_of(*pair), zip(vaults, asked, strict=True)))
    keys: dict[tuple[str, str], bytes] = {}
    for names, people in zip(asked, answers, strict=True):
        for name, person in zip(names, people, strict=True):
            assert keys.setdefault(name, person.key) == person.key
    assert [person.key for person in people_of(vault, list(keys))] == list(keys.values())


def test_more_people_than_a_chunk(vault: Vault, postgres: EmbeddedPostgres) -> None:
    people = people_of(vault, ids(0, 45_000))
    assert len({person.key for person in people}) == 45_000
    assert people_of(vault, ids(44_990, 45_010))[:10] == people[-10:]
    assert run(postgres, "SELECT count(*) FROM persons") == [(45_010,)]


def test_creating_at_once_makes_one_set_of_keys(new_vault: Callable[..., Vault]) -> None:
    vaults = [new_vault() for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(Vault.create, vaults))
    assert len({vault.event_key for vault in vaults}) == 1
    assert len({vault.lookup("person", "7") for vault in vaults}) == 1


def test_the_database_holds_neither_ids_nor_open_keys(vault: Vault, postgres: EmbeddedPostgres) -> None:
    people = people_of(vault, ids(0, 20))
    dump = b"".join(
        bytes(value) if isinstance(value, memoryview) else str(value).encode()
        for table in ("persons", "vault_keys", "naming_keys", "tombstones")
        for row in run(postgres, f"SELECT * FROM {table}")
        for value in row
    )
    assert b"user-" not in dump
    assert vault.event_key not in dump
    assert not any(person.key in dump for person in people)
    assert "user" not in repr(people[0])
    assert str(people[0].key) not in repr(people[0])


def test_the_wrong_key_encryption_key_is_refused_by_name(vault: Vault, new_vault: Callable[..., Vault]) -> None:
    with pytest.raises(KeyProblem, match="made with the key-encryption key test, but other"):
        new_vault(FileKek("other", bytes(32))).create()
    with pytest.raises(KeyProblem, match="did not wrap"):
        new_vault(FileKek("test", bytes(32))).create()


def test_a_row_moved_to_another_person_does_not_open(vault: Vault, postgres: EmbeddedPostgres) -> None:
    people_of(vault, ids(0, 2))
    run(postgres, "UPDATE persons SET wrapped = (SELECT wrapped FROM persons ORDER BY lookup LIMIT 1)")
    with pytest.raises(KeyProblem, match="epoch 1"):
        people_of(vault, ids(0, 2))


def test_nobody_is_without_a_key(vault: Vault, postgres: EmbeddedPostgres) -> None:
    # As where people are erased between the two statements that add them and read them back.
    run(postgres, "CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    run(postgres, "CREATE TRIGGER gone BEFORE INSERT ON persons FOR EACH ROW EXECUTE FUNCTION gone()")
    with pytest.raises(VaultUnavailable, match="taken out of the vault"):
        people_of(vault, ids(0, 2))
    run(postgres, "DROP TRIGGER gone ON persons")
    assert len(people_of(vault, ids(0, 2))) == 2


def test_a_connection_that_is_ended_passes_by_itself(vault: Vault, postgres: EmbeddedPostgres) -> None:
    def cut_off() -> None:
        with vault._connected() as connection:
            run(postgres, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'vault_people' AND pid <> pg_backend_pid()")
            connection.execute(sa.text("SELECT 1"))

    people_of(vault, ids(0, 2))
    with pytest.raises(VaultUnavailable, match="does not answer"):
        cut_off()
    assert len(people_of(vault, ids(0, 2))) == 2


def test_rotation_changes_no_one(vault: Vault, new_vault: Callable[..., Vault], postgres: EmbeddedPostgres) -> None:
    before = people_of(vault, ids(0, 5))
    assert vault.rotate() == 2
    assert people_of(new_vault(), ids(0, 10))[:5] == before
    assert run(postgres, "SELECT epoch, count(*) FROM persons GROUP BY epoch ORDER BY epoch") == [(1, 5), (2, 5)]


def test_finding_adds_nobody(vault: Vault) -> None:
    assert vault.find("person", "nobody") is None
    [person] = people_of(vault, [("person", "7")])
    assert vault.find("person", "7") == person


def test_no_other_role_enters_the_vault(postgres: EmbeddedPostgres, vault: Vault) -> None:
    url = sa.make_url(postgres.uri("ledger"))
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(host=url.query["host"], user=url.username, password=url.password, dbname="vault_people")


def test_purposes_and_generations_do_not_join(vault: Vault, postgres: EmbeddedPostgres) -> None:
    [person] = people_of(vault, [("person", "7")])
    assert len(pseudonym(person, "product")) == 16
    assert pseudonym(person, "product") != pseudonym(person, "fraud")
    run(postgres, "UPDATE persons SET generation = 1")
    [next_generation] = people_of(vault, [("person", "7")])
    assert next_generation.key == person.key
    assert pseudonym(next_generation, "product") != pseudonym(person, "product")


def test_files_for_spark_hold_no_keys_and_vanish(vault: Vault, postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    [person, other] = people_of(vault, [("person", "7"), ("person", "8")])
    erased = datetime(2026, 10, 1, tzinfo=UTC)
    run(postgres, f"INSERT INTO tombstones VALUES ('\\x{vault.lookup('person', '8').hex()}', '{erased.isoformat()}')")
    user = field("user_id", "string", personal=PersonalMark(kind="person"))
    pin = field("pin", "integer", nullable=True, personal=PersonalMark(kind="pin", of="user_id"))
    named = pa.table({"user_id": ["7", "8", "7"], "pin": ["12", None, "13"]})
    with PrivateFolder(str(tmp_path), "run-1") as folder:
        path = write_people(folder.file("people.parquet"), Deriver(vault), "product", user, [pin], named)
        first, second, third = pq.read_table(path).to_pylist()
        assert (first["_of0"], first["_pseudonym"], first["_erased_at"], first["_of1"]) == ("7", pseudonym(person, "product"), None, "12")
        assert (FieldCipher("pin").decrypt(person.key, first["_c1"]), FieldCipher("pin").decrypt(person.key, third["_c1"])) == (12, 13)
        assert (second["_pseudonym"], second["_erased_at"], second["_c1"]) == (pseudonym(other, "product"), erased, None)
        assert person.key not in Path(path).read_bytes()
        assert {path.stat().st_mode & 0o777 for path in folder.path.iterdir()} == {0o600}
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert pq.read_table(write_people(folder.file("none.parquet"), Deriver(vault), "product", user, [pin], named.slice(0, 0))).num_rows == 0
    assert not folder.path.exists()


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    left = PrivateFolder(str(tmp_path), "killed.listening.played")
    left.__enter__()
    left.file("people.parquet")
    assert folders(str(tmp_path)) == {str(left.path): "killed"}
    assert sweep(str(tmp_path)) == 1
    assert not left.path.exists()
