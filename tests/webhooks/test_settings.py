"""What the configuration of webhooks takes."""

import pytest
from pydantic import ValidationError

from eventbus_gateway.webhooks.settings import WebhookSettings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("allowed_networks", ["10.0.0.1/8"]),
        ("allowed_networks", ["10.0.0.0/33"]),
        ("denied_networks", ["example.org"]),
        ("allowed_hosts", ["*"]),
        ("allowed_hosts", ["a.*.example"]),
        ("allowed_hosts", ["10.0.0.1"]),
        ("denied_hosts", ["https://example.org"]),
        ("denied_hosts", ["example.org."]),
        ("allowed_ports", []),
        ("allowed_ports", ["0"]),
        ("allowed_ports", ["65536"]),
        ("allowed_ports", ["90-80"]),
        ("allowed_ports", ["https"]),
        ("origin", "a b"),
        ("origin", "a\r\nb"),
    ],
)
def test_a_value_that_would_mean_nothing_is_a_fault(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        WebhookSettings.model_validate({key: value})


def test_the_defaults_let_only_public_receivers_with_tls_be_called() -> None:
    settings = WebhookSettings.model_validate({})
    assert (settings.allow_http, settings.allowed_ports) == (False, ("443",))
    assert not settings.allowed_networks + settings.allowed_hosts
