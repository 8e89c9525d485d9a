"""What an author may say of an event type, what it becomes, and every way to say it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_defs.contracts.contract import PersonalMark
from platform_defs.contracts.wire import model_of, spark_type
from tests.unit.contracts.writing import event, event_problems, load

EVERY_TYPE = '''
class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"

class Size(Enum):
    SMALL = "s"

class Place(Record):
    city: str = Field(pattern=r"^[A-Z][a-z]+$")
    seen: datetime
    depth: int | None = None

class Sold(Event):
    """Something was sold."""
    order_id: UUID = Field(description="Which order")
    count: int = Field(ge=1, lt=100)
    plain: int
    weight: float = Field(gt=0)
    price: Annotated[Decimal, Field(max_digits=10, decimal_places=2, ge=0)]
    gift: bool = False
    at: datetime
    until: datetime | None = None
    kind: Literal["new", "used"]
    colour: Colour = Colour.RED
    size: Size | None
    code: str = Field(pattern=r"^[a-z]{3}$", max_length=3)
    note: Annotated[str, NotPersonal("from a fixed list of texts")] = Field(max_length=50)
    tags: list[Literal["a", "b"]] = Field(default=["a"], max_length=5)
    codes: list[Annotated[str, Field(pattern=r"^[0-9]+$")]]
    labels: Annotated[dict[str, str], NotPersonal("labels of the warehouse")] = {}
    place: Place
    places: list[Place] = []
    buyer: Annotated[str, Personal("person")]
    seller: Annotated[UUID | None, Personal("person")] = None
    phone: Annotated[str | None, Personal("phone", of="buyer")] = None
'''


def test_every_type_becomes_data(tmp_path: Path) -> None:
    contract = event(tmp_path, EVERY_TYPE)
    fields = {field.name: field for field in contract.fields}
    assert {name: spark_type(field.type) for name, field in fields.items()} == {
        "order_id": "BINARY",
        "count": "BIGINT",
        "plain": "BIGINT",
        "weight": "DOUBLE",
        "price": "DECIMAL(10,2)",
        "gift": "BOOLEAN",
        "at": "TIMESTAMP",
        "until": "TIMESTAMP",
        "kind": "STRING",
        "colour": "STRING",
        "size": "STRING",
        "code": "STRING",
        "note": "STRING",
        "tags": "ARRAY<STRING>",
        "codes": "ARRAY<STRING>",
        "labels": "MAP<STRING, STRING>",
        "place": "STRUCT<city: STRING, seen: TIMESTAMP, depth: BIGINT>",
        "places": "ARRAY<STRUCT<city: STRING, seen: TIMESTAMP, depth: BIGINT>>",
        "buyer": "STRING",
        "seller": "BINARY",
        "phone": "STRING",
    }
    assert fields["order_id"].description == "Which order"
    assert (fields["count"].type.ge, fields["count"].type.lt, fields["count"].type.le) == ("1", "100", None)
    assert (fields["plain"].type.ge, fields["plain"].type.le) == (None, None)
    assert fields["weight"].type.gt == "0.0"
    assert fields["colour"].type.choices == ("red", "blue")
    assert (fields["colour"].required, fields["colour"].default) == (False, "red")
    assert (fields["size"].nullable, fields["size"].required, fields["size"].type.choices) == (True, True, ("s",))
    assert fields["tags"].default == ["a"]
    assert fields["phone"].personal == PersonalMark(kind="phone", of="buyer")


def test_a_table_has_the_platforms_columns_first_and_no_personal_value_in_the_clear(tmp_path: Path) -> None:
    contract = event(tmp_path, EVERY_TYPE)
    columns = {column.name: column for column in contract.columns}
    assert [(column.name, column.type) for column in contract.columns[:3]] == [("event_id", "BINARY"), ("time", "TIMESTAMP"), ("received_at", "TIMESTAMP")]
    assert contract.unique == ("event_id",)
    assert (columns["buyer"].type, columns["buyer"].mark, columns["buyer"].nullable) == ("BINARY", "person", False)
    assert (columns["seller"].mark, columns["seller"].nullable) == ("person", True)
    assert (columns["phone"].type, columns["phone"].mark, columns["phone"].nullable) == ("BINARY", "personal", True)
    assert not columns["code"].nullable


def test_keywords_of_the_class_line_go_before_the_domains(tmp_path: Path) -> None:
    text = '''
    class _FromApps(Event, tier="high", readers=["team:apps"]):
        user_id: Annotated[str, Personal("person")]

    class AppOpened(_FromApps, retention="30d", start="2026-02-01", lateness=Lateness(settle=["2h"], share=0, hold="forever", landing="3d")):
        """Somebody opened an app."""

    class HTTPErrorSeen(_FromApps, tier="low", owner="ops@example.com", purpose="operations", ready_within="2h", shared=True):
        """Somebody saw an error."""
    '''
    opened = event(tmp_path, text, "app_opened")
    assert (opened.tier, opened.readers, opened.retention_seconds, opened.start, opened.owner) == (
        "high",
        ("team:apps",),
        30 * 86400,
        "2026-02-01",
        "team:shop",
    )
    assert opened.lateness is not None
    assert opened.lateness.model_dump() == {"settle_seconds": (7200,), "hold_seconds": None, "share": 0.0, "landing_seconds": 3 * 86400}
    seen = event(tmp_path, text, "http_error_seen")
    assert (seen.tier, seen.owner, seen.purpose, seen.ready_within_seconds, seen.shared) == ("low", "ops@example.com", "operations", 7200, True)
    assert seen.readers == ("team:apps",)


def test_lateness_and_readers_come_from_the_domain(tmp_path: Path) -> None:
    domain = """
    from platform_defs.contracts import Domain, Lateness
    domain = Domain(
        owner="team:a", purpose="product", start="2026-01-01", retention="1d", readers=["group:x"], tier="low", lateness=Lateness(settle=["3h"], landing="9d")
    )
    """
    text = 'from platform_defs.contracts import Event\nclass Seen(Event):\n    """Seen."""\n    n: int\n'
    contract = load(tmp_path, domain=domain, events=text).contracts[0]
    assert contract.lateness is not None
    assert (contract.tier, contract.readers, contract.lateness.settle_seconds, contract.lateness.landing_seconds) == ("low", ("group:x",), (10800,), 9 * 86400)


@pytest.mark.parametrize(
    ("field", "why", "write"),
    [
        ("note: str", "free text", "NotPersonal"),
        ("note: str = Field(max_length=10)", "free text", "pattern"),
        ("notes: list[str]", "free text", "NotPersonal"),
        ("labels: dict[str, str]", "free text", "NotPersonal"),
        ("note: str | None = None", "free text", "NotPersonal"),
        ('note: Annotated[str, NotPersonal("")]', "no reason", "Say why"),
        ('note: Annotated[str, Personal("person"), NotPersonal("x")]', "marked twice", "Keep one"),
        ('who: Annotated[str, Personal("A Person")]', "one lower case word", 'Personal("person")'),
        ('who: Annotated[float, Personal("person")]', "number cannot be a pseudonym", "string"),
        ('who: Annotated[Literal["a"], Personal("person")]', "few choices", "of="),
        ('who: list[Annotated[str, Personal("person")]]', "inside a list", "event itself"),
        ('mail: Annotated[str, Personal("email", of="user_id")]', "names no field", "Mark the person's id"),
        ("code: str = Field(pattern=r'[a-z]+')", "not anchored", "^...$"),
        ("code: str = Field(pattern=r'^a|b$')", "outside a group", "^(a|b)$"),
        ("code: str = Field(pattern=r'^\\d+$')", r"\d is not in the common subset", "[0-9]"),
        ("count: int = Field(multiple_of=5)", "multiple_of", "ge, gt, le, lt"),
        ("count: int = Field(le=2**70)", "64-bit", "2**63"),
        ("count: int | str = 0", "union", "str, int, float"),
        ("thing: Any", "any", "str, int, float"),
        ("thing: bytes", "bytes", "UUID"),
        ("counts: dict[str, int]", "texts to texts", "Record"),
        ("counts: list[int | None]", "stands inside", "field itself"),
        ("price: Decimal", "digits", "max_digits=12"),
        ("price: Annotated[Decimal, Field(max_digits=50, decimal_places=2)]", "digits", "38"),
        ("when: Annotated[datetime, Field(ge=datetime(2020, 1, 1))]", "limit a datetime", "Leave the limits out"),
        ("n: Literal[1, 2]", "not all texts", 'Literal["1", "2"]'),
        ("n: int = Field(alias='m')", "alias", "Remove the alias"),
        ("n: int = Field(exclude=True)", "left out", "exclude"),
        ("n: int = Field(default_factory=int)", "made by code", "value itself"),
        ("n: int = Field(default=-1, ge=0)", "does not fit", "could have been sent"),
        ("n: Annotated[int, AfterValidator(abs)]", "validator", "Field(...)"),
        ("n: int = Field(strict=False)", "strict", "ge, gt"),
        ("n: int = Field(ge=5, le=3)", "inside its limits", "ge, gt"),
        ("f: float = Field(gt=1, le=1)", "inside its limits", "ge, gt"),
        ("f: float = Field(le=float('inf'))", "no number", "Leave the limit out"),
        ("code: str = Field(pattern='^a+$', min_length=5, max_length=3)", "that long and that short", "max_length"),
        ("n: int = Field(pattern='^a$')", "does not fit its type", "pattern for texts"),
        ("code: Annotated[str, Field(pattern='^a$'), StringConstraints(to_lower=True)]", "to_lower", "pattern"),
        ("id: UUID4", "version of its uuid", "ge"),
        ('who: Annotated[str, Personal("x", of="who")]', "names no field", "Mark the person's id"),
        ("n: list[int] = None", "does not fit", "could have been sent"),
        ("hour: int", "platform's own", "another name"),
        ("event_id: UUID", "platform's own", "another name"),
        ("userId: int", "becomes a column's", "lower case"),
        ("copy: int", "has its own copy", "another name"),
        ("example: int", "has its own example", "another name"),
    ],
)
@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
def test_a_wrong_field_is_named_with_the_way_out(tmp_path: Path, field: str, why: str, write: str) -> None:
    text = f'class Seen(Event):\n    """Seen."""\n    good: int\n    {field}\n'
    (problem,) = event_problems(tmp_path, text)
    name = field.partition(":")[0]
    assert problem.where.startswith("assets/shop/events.py:")
    assert problem.where.endswith(f"Seen.{name}")
    assert why in problem.why
    assert write in problem.write


@pytest.mark.parametrize(
    ("field", "where", "why", "write"),
    [
        ("who: Annotated[str, Personal]", "assets/shop/events.py:11 Personal", "without its kind", 'Personal("person")'),
        ("who: Annotated[str, NotPersonal]", "assets/shop/events.py:11 NotPersonal", "without its reason", "NotPersonal("),
        ("who: Annotated[str, Personal()]", "assets/shop/events.py:13", "missing 1 required positional argument: 'kind'", "docstring"),
        ("code: str = Field(pattern=r'^(?!a)b$')", "assets/shop/events.py:11", 'Field "code": error: look-around', "Mend it"),
        ("n = 3", "assets/shop/events.py:11", "require a type annotation", "Mend it"),
    ],
)
def test_what_python_or_pydantic_refuse_themselves_is_told_with_its_line(tmp_path: Path, field: str, where: str, why: str, write: str) -> None:
    (problem,) = event_problems(tmp_path, f'class Seen(Event):\n    """Seen."""\n    {field}\n')
    assert problem.where == where
    assert why in problem.why
    assert write in problem.write


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("    n: int\n    @field_validator('n')\n    @classmethod\n    def check(cls, value: int) -> int:\n        return value", "validator"),
        ("    n: int\n    @model_validator(mode='after')\n    def check(self) -> 'Seen':\n        return self", "validators"),
        ("    n: int\n    @computed_field\n    def twice(self) -> int:\n        return 2", "computed"),
        ("    n: int\n    @field_serializer('n')\n    def text(self, value: int) -> str:\n        return 'x'", "serialiser"),
        ("    at: datetime\n    @field_serializer('at')\n    def text(self, value: datetime) -> str:\n        return 'x'", "serialiser"),
        ("    n: int\n    def model_post_init(self, context: Any) -> None:\n        pass", "code that runs"),
        ("    n: int\n    def __init__(self, **data: Any) -> None:\n        super().__init__(**data)", "code that runs"),
        ("    model_config = {'extra': 'allow'}\n    n: int", "configuration"),
        ("    pass", "no field"),
    ],
)
def test_classes_that_are_more_than_data_are_refused(tmp_path: Path, body: str, why: str) -> None:
    found = event_problems(tmp_path, f'class Seen(Event):\n    """Seen."""\n{body}\n')
    assert [why in problem.why for problem in found] == [True]
    assert "Seen" in found[0].where


@pytest.mark.parametrize(
    ("line", "why", "write"),
    [
        ('class Seen(Event, teir="high"):', "teir is no keyword", "tier="),
        ('class Seen(Event, colour="red"):', "colour is no keyword", "lateness"),
        ('class Seen(Event, tier="urgent"):', "no tier", "high, normal, low"),
        ('class Seen(Event, owner="shop"):', "no owner", "team:name"),
        ('class Seen(Event, purpose="Many Things"):', "no purpose", "lower case"),
        ('class Seen(Event, start="yesterday"):', "no day", "2026-01-01"),
        ('class Seen(Event, start="2025-12-31"):', "before its domain's start", "Begin later"),
        ('class Seen(Event, retention="3 days"):', "no length of time", "400d"),
        ('class Seen(Event, readers="group:analysts"):', "no list of readers", "["),
        ('class Seen(Event, readers=["everybody"]):', "no list of readers", "group:"),
        ('class Seen(Event, lateness="7d"):', "no Lateness", "Lateness("),
        ('class Seen(Event, lateness=Lateness(settle=["6h", "1h"])):', "no growing list", "settle="),
        ("class Seen(Event, lateness=Lateness(settle=[])):", "no growing list", "settle="),
        ('class Seen(Event, lateness=Lateness(settle="1h")):', "no", "settle="),
        ("class Seen(Event, lateness=Lateness(share=5)):", "no fraction", "0.01"),
        ('class Seen(Event, lateness=Lateness(hold="long")):', "no length of time", "10m"),
        ("class Seen(Event, strict=False):", "configuration", "Remove"),
        ("class Seen_Twice(Event):", None, None),
    ],
)
def test_wrong_keywords_are_named(tmp_path: Path, line: str, why: str | None, write: str | None) -> None:
    found = event_problems(tmp_path, f'{line}\n    """Seen."""\n    n: int\n')
    if why is None or write is None:
        assert found == []
        return
    assert found
    assert why in found[0].why
    assert write in found[-1].write
    assert "Seen" in found[0].where


def test_what_is_required_is_asked_for(tmp_path: Path) -> None:
    domain = "from platform_defs.contracts import Domain\ndomain = Domain()\n"
    from tests.unit.contracts.writing import EVENTS, problems

    found = problems(tmp_path, domain=domain, events=EVENTS + "class Seen(Event):\n    n: int\n")
    assert [problem.where.rpartition(".")[2] for problem in found] == ["py:11 Seen", "owner", "purpose", "start", "retention"]
    assert "docstring" in found[0].write
    assert all("domain.py" in problem.write for problem in found[1:])


def test_a_mark_is_never_lost(tmp_path: Path) -> None:
    """Pydantic keeps an enum that two fields use as a reference, and the mark on that."""
    text = '''
    class Gender(StrEnum):
        A = "a"

    class Seen(Event):
        """Seen."""
        who: Annotated[str, Personal("person")]
        first: Annotated[Gender, Personal("gender", of="who")]
        second: Annotated[Gender | None, Personal("gender", of="who")]
        third: Gender
        fourth: Annotated[str, Personal("name", of="who")] | None = None
    '''
    marks = {field.name: field.personal.kind if field.personal else None for field in event(tmp_path, text).fields}
    assert marks == {"who": "person", "first": "gender", "second": "gender", "third": None, "fourth": "name"}


def test_types_may_be_named_before_they_are_defined(tmp_path: Path) -> None:
    text = '''
    class Seen(Event):
        """Seen."""
        things: "list[Thing]"
        {more}

    class Thing(Record):
        n: int
    '''
    assert spark_type(event(tmp_path, text.format(more="")).fields[0].type) == "ARRAY<STRUCT<n: BIGINT>>"
    (problem,) = event_problems(tmp_path / "wrong", text.format(more='other: "Thnig"'))
    assert "not defined" in problem.why


def test_nested_models_are_records_and_end_somewhere(tmp_path: Path) -> None:
    text = '''
    from pydantic import BaseModel

    class Loose(BaseModel):
        n: int

    class Node(Record):
        inner: "list[Node]" = []

    class Inner(Record):
        name: str
        who: Annotated[str, Personal("person")]

    class Seen(Event):
        """Seen."""
        loose: Loose
        node: Node
        inner: Inner
    '''
    found = {problem.where.rpartition(" ")[2]: problem.why for problem in event_problems(tmp_path, text)}
    assert "no Record" in found["Seen.loose"]
    assert any("contains itself" in why for why in found.values())
    assert "free text" in found["Inner.name"]
    assert "inside another record" in found["Inner.who"]


def test_all_problems_of_a_folder_come_at_once(tmp_path: Path) -> None:
    text = '''
    class Seen(Event, tier="urgent"):
        """Seen."""
        a: str
        b: str = Field(pattern="x")

    class Heard(Event):
        c: int
    '''
    assert [problem.where.rpartition(" ")[2] for problem in event_problems(tmp_path, text)] == ["Seen.a", "Seen.b", "Seen.tier", "Heard"]


@pytest.mark.parametrize(
    ("data", "good"),
    [
        ('{"n": 9223372036854775807, "f": 1, "at": "2026-10-01T00:00:00Z", "who": "x"}', True),
        ('{"n": 9223372036854775808, "f": 1, "at": "2026-10-01T00:00:00Z", "who": "x"}', False),
        ('{"n": 111111111111111111111111111111, "f": 1, "at": "2026-10-01T00:00:00Z", "who": "x"}', False),
        ('{"n": 1.0, "f": 1, "at": "2026-10-01T00:00:00Z", "who": "x"}', False),
        ('{"n": "1", "f": 1, "at": "2026-10-01T00:00:00Z", "who": "x"}', False),
        ('{"n": true, "f": 1, "at": "2026-10-01T00:00:00Z", "who": "x"}', False),
        ('{"n": 1, "f": NaN, "at": "2026-10-01T00:00:00Z", "who": "x"}', False),
        ('{"n": 1, "f": 1e400, "at": "2026-10-01T00:00:00Z", "who": "x"}', False),
        ('{"n": 1, "f": 1, "at": "2026-10-01T00:00:00", "who": "x"}', False),
        ('{"n": 1, "f": 1, "at": 1700000000, "who": "x"}', False),
        ('{"n": 1, "f": 1, "at": "1066-10-14T09:00:00Z", "who": "x"}', False),
        ('{"n": 1, "f": 1, "at": "9999-12-31T23:59:59-05:00", "who": "x"}', False),
        ('{"n": 1, "f": 1, "at": "2026-10-01T00:00:00Z", "who": ""}', False),
        ('{"n": 1, "f": 1, "at": "2026-10-01T00:00:00Z", "who": null}', False),
        ('{"n": 1, "f": 1, "at": "2026-10-01T00:00:00Z", "who": "x", "more": 1}', False),
        ('{"n": 1, "f": 1, "at": "2026-10-01T00:00:00Z"}', False),
        ('{"n": 1, "f": 1, "at": "2026-10-01T00:00:00Z", "who": "\\ud800"}', False),
    ],
)
def test_class_and_contract_judge_the_same_hard_cases(tmp_path: Path, data: str, good: bool) -> None:
    from tests.unit.contracts.writing import EVENTS, load

    text = 'class Seen(Event):\n    """Seen."""\n    n: int\n    f: float\n    at: datetime\n    who: Annotated[str, Personal("person")]\n'
    declared = load(tmp_path, events=EVENTS + text).declared["shop/seen"]
    for model in (declared.declaration, model_of(declared.contract)):
        try:
            model.model_validate_json(data)  # type: ignore[union-attr]
            verdict = True
        except ValueError:
            verdict = False
        assert verdict is good


def test_no_error_of_validation_carries_the_value(tmp_path: Path) -> None:
    contract = event(tmp_path, 'class Seen(Event):\n    """Seen."""\n    code: str = Field(pattern=r"^[a-z]$")\n')
    with pytest.raises(ValueError, match="code") as caught:
        model_of(contract).model_validate_json('{"code": "Canary-4711"}')
    assert "4711" not in str(caught.value)
