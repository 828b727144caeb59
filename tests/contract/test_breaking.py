"""What of a change to the contract breaks clients, and what does not."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi.breaking import RELEASED, breaks, main
from openapi.build import document

Change = Callable[[Any], object]
READ = "/v1/topics/{topic}/events"
NAMED = "/v1/subscriptions/{name}"
CONTRACT: Mapping[str, Any] = document()


def changed(change: Change) -> list[str]:
    """What a change of the contract breaks, without the places."""
    new = copy.deepcopy(dict(CONTRACT))
    change(new)
    return sorted({each.what for each in breaks(CONTRACT, new)})


def schema(contract: Any, name: str) -> Any:
    return contract["components"]["schemas"][name]


def operation(contract: Any, path: str = READ, method: str = "get") -> Any:
    return contract["paths"][path][method]


BREAKING: list[tuple[str, Change]] = [
    ("the path is gone", lambda c: c["paths"].pop(READ)),
    ("the method is gone", lambda c: c["paths"][READ].pop("get")),
    ("the response is gone", lambda c: operation(c)["responses"].pop("404")),
    ("the media type is gone", lambda c: operation(c)["responses"]["200"]["content"].pop("text/event-stream")),
    (
        "the media type is gone",
        lambda c: operation(c, READ, "post")["requestBody"]["content"].pop("application/json"),
    ),
    ("the header is gone", lambda c: operation(c)["responses"]["200"]["headers"].pop("X-Request-Id")),
    ("the header is gone", lambda c: c["components"]["responses"]["Throttled"]["headers"].pop("Retry-After")),
    ("the parameter is gone", lambda c: operation(c)["parameters"].pop(1)),
    ("the parameter is required now", lambda c: operation(c)["parameters"][1].update(required=True)),
    (
        "the parameter is required now",
        lambda c: operation(c)["parameters"].append(
            {"name": "new", "in": "query", "required": True, "schema": {"type": "string"}}
        ),
    ),
    (
        "a body is required now",
        lambda c: operation(c, f"{NAMED}/receive", "post")["requestBody"].update(required=True),
    ),
    ("a credential is asked for", lambda c: operation(c, "/docs").pop("security")),
    ("a kind of credential is not taken any more", lambda c: c["security"].pop()),
    ("the member is gone", lambda c: schema(c, "Receipt")["properties"].pop("offset")),
    ("the member is gone", lambda c: schema(c, "PullDelivery")["properties"].pop("order")),
    ("the member does not always come any more", lambda c: schema(c, "Receipt")["required"].remove("offset")),
    ("the member is required now", lambda c: schema(c, "PullDelivery")["required"].append("order")),
    ("a value is not taken any more", lambda c: schema(c, "PullDelivery")["properties"]["order"]["enum"].pop()),
    (
        "a type is not taken any more",
        lambda c: schema(c, "Receive")["properties"]["maxEvents"].update(type="integer"),
    ),
    ("another type can come", lambda c: schema(c, "Receipt")["properties"]["id"].update(type=["string", "null"])),
    ("another value comes", lambda c: schema(c, "Validity")["properties"]["valid"].update(const=False)),
    ("a value does not come any more", lambda c: schema(c, "TopicSummary")["properties"]["format"]["enum"].pop()),
    ("any value can come", lambda c: schema(c, "TopicSummary")["properties"]["format"].pop("enum")),
    ("maximum is narrower", lambda c: schema(c, "Receive")["properties"]["maxEvents"].update(maximum=10)),
    ("minimum is narrower", lambda c: schema(c, "Receive")["properties"]["maxEvents"].update(minimum=2)),
    ("maxLength is narrower", lambda c: schema(c, "RejectRequest")["properties"]["reason"].update(maxLength=1)),
    ("pattern is another one", lambda c: c["components"]["parameters"]["topic"]["schema"].update(pattern="^a$")),
    ("further members are not taken any more", lambda c: schema(c, "CloudEvent").update(additionalProperties=False)),
    ("an alternative is gone", lambda c: schema(c, "Delivery")["oneOf"].pop()),
]

HARMLESS: list[Change] = [
    lambda _: None,
    lambda c: c["paths"].update({"/new": {"get": {"responses": {}}}}),
    lambda c: operation(c)["responses"].update({"418": {"description": "new"}}),
    lambda c: operation(c)["parameters"].append({"name": "new", "in": "query", "schema": {"type": "string"}}),
    lambda c: operation(c)["parameters"][1].update(description="other words", example="x"),
    lambda c: schema(c, "Receipt")["properties"].update(new={"type": "string"}),
    lambda c: schema(c, "Receipt")["required"].append("new"),
    lambda c: schema(c, "PullDelivery")["properties"].update(new={"type": "string"}),
    lambda c: schema(c, "Receive")["properties"]["maxEvents"].update(maximum=2_000),
    lambda c: schema(c, "CloudEvent")["required"].remove("data"),
    lambda c: schema(c, "PullDelivery")["properties"]["leaseSeconds"].pop("minimum"),
    lambda c: operation(c)["parameters"][2]["schema"].pop("minLength"),
    lambda c: operation(c, f"{NAMED}/ack", "post").update(security=[]),
    lambda c: c["components"]["responses"]["Throttled"]["content"]["application/problem+json"]["schema"]["allOf"][1][
        "properties"
    ]["code"]["enum"].append("new_code"),
]


@pytest.mark.parametrize(("what", "change"), BREAKING)
def test_a_change_that_breaks_clients_is_told(what: str, change: Change) -> None:
    assert what in changed(change)


@pytest.mark.parametrize("change", HARMLESS)
def test_a_change_that_breaks_nobody_is_not(change: Change) -> None:
    assert changed(change) == []


def test_the_command_says_what_breaks_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(yaml.safe_dump(dict(CONTRACT)))
    without = copy.deepcopy(dict(CONTRACT))
    del without["paths"][READ]["get"]
    new.write_text(yaml.safe_dump(without))
    assert main(old, old) == 0
    assert main(old, new) == 1
    assert capsys.readouterr().out == f"GET {READ}: the method is gone\n"


def test_the_contract_breaks_nobody_who_uses_the_last_release() -> None:
    """Before the first release there is nothing to compare with."""
    if RELEASED.exists():
        assert breaks(document(RELEASED), CONTRACT) == []
