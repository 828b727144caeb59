"""What the contract says about the subscription resource is what is taken and given."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from eventbus_gateway.api.settings import ReadSettings
from eventbus_gateway.api.subscriptions import DEFAULT_LIMIT, MAX_LIMIT
from eventbus_gateway.api.webhooks import DEFAULT_ATTEMPTS, MAX_ATTEMPTS, RotateBody
from eventbus_gateway.subscriptions.control import SeekTarget
from eventbus_gateway.subscriptions.names import NAME
from eventbus_gateway.subscriptions.resource import created, shown, with_redrive, with_seek
from eventbus_gateway.subscriptions.spec import PullDelivery, Spec
from eventbus_gateway.subscriptions.webhook_auth import BearerAuth, HeaderAuth, OAuth2Auth
from eventbus_gateway.subscriptions.webhook_spec import Batch, Retry, WebhookDelivery

DOCUMENT: dict[str, Any] = yaml.safe_load((Path(__file__).parent.parent / "openapi" / "openapi.yaml").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
BOUNDS = ("minimum", "maximum", "minItems", "minProperties", "maxProperties", "minLength", "enum", "const")
BODIES: Mapping[str, type[BaseModel]] = {
    "SubscriptionSpec": Spec,
    "PullDelivery": PullDelivery,
    "WebhookDelivery": WebhookDelivery,
    "WebhookBatch": Batch,
    "WebhookRetry": Retry,
    "BearerAuth": BearerAuth,
    "HeaderAuth": HeaderAuth,
    "OAuth2Auth": OAuth2Auth,
    "RotateRequest": RotateBody,
    "SeekTarget": SeekTarget,
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_documented_with_every_member_bound_and_default(name: str) -> None:
    documented, taken = SCHEMAS[name], BODIES[name].model_json_schema()
    assert documented["additionalProperties"] is taken["additionalProperties"] is False
    assert set(documented["properties"]) == set(taken["properties"])
    assert documented.get("required", []) == taken.get("required", [])
    for member, schema in documented["properties"].items():
        said = _flat(taken["properties"][member])
        for bound in (
            "minimum",
            "maximum",
            "minItems",
            "minProperties",
            "maxProperties",
            "minLength",
            "enum",
            "const",
        ):
            assert schema.get(bound) == said.get(bound), f"{member}: {bound}"
        if "default" in schema:
            assert schema["default"] == said["default"], member


def _flat(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema whose alternatives beside null are its own."""
    found = dict(schema)
    for alternative in schema.get("anyOf", ()):
        if alternative.get("type") != "null":
            found |= alternative
    return found


def test_what_is_shown_is_documented_member_by_member() -> None:
    plain = created("clinic", "board", Spec.model_validate({"topics": ["a"]}), 1)
    used = with_redrive(with_seek(plain, SeekTarget(to="latest"), 2), {0: 1}, 3)
    schema = SCHEMAS["Subscription"]
    for subscription in (plain, used):
        document = shown(subscription, "eventbus")
        assert set(document) == set(schema["properties"]) == set(schema["required"])
        for name in ("lastSeek", "lastRedrive"):
            if document[name] is not None:
                assert set(document[name]) == set(schema["properties"][name]["properties"])


def _parameters(path: str, method: str) -> Iterator[tuple[str, Any]]:
    for each in DOCUMENT["paths"][path][method].get("parameters", ()):
        if "name" in each:
            yield each["name"], each["schema"]


@pytest.mark.parametrize(
    ("path", "bounds"),
    [
        ("/v1/subscriptions", lambda: (MAX_LIMIT, DEFAULT_LIMIT)),
        ("/v1/subscriptions/{name}/attempts", lambda: (MAX_ATTEMPTS, DEFAULT_ATTEMPTS)),
        (
            "/v1/subscriptions/{name}/dead-letters",
            lambda: (ReadSettings().max_limit, ReadSettings().default_limit),
        ),
    ],
)
def test_pages_have_the_bounds_that_are_documented(path: str, bounds: Callable[[], tuple[int, int]]) -> None:
    limit = dict(_parameters(path, "get"))["limit"]
    assert (limit["maximum"], limit["default"]) == bounds()


def test_the_name_of_a_subscription_is_documented() -> None:
    assert DOCUMENT["components"]["parameters"]["subscription"]["schema"]["pattern"] == f"^{NAME.pattern}$"
