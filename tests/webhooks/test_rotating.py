"""Signatures while secrets change."""

from pydantic import SecretStr

from eventbus_gateway.subscriptions.signing_secrets import SigningSecret, fresh, rotated, shown
from eventbus_gateway.webhooks.rotating import signer_of
from eventbus_gateway.webhooks.signing import Secret, Verdict, Verifier

START = 1_700_000_000
"""Seconds since the epoch."""


def verdict(secret: SigningSecret, headers: dict[str, str], body: bytes = b"body") -> Verdict:
    assert secret.secret is not None
    verifier = Verifier([Secret.parse(secret.secret.get_secret_value())], clock=lambda: START, tolerance_seconds=1e9)
    return verifier.verify(headers, body)


def signed(secrets: tuple[SigningSecret, ...], *times: int) -> list[dict[str, str]]:
    signer = signer_of(secrets)
    assert signer is not None
    return [signer.headers("id", at, b"body") for at in times]


def test_both_secrets_sign_until_the_end_of_the_overlap_and_then_the_new_one_alone() -> None:
    (old,) = first = (fresh(),)
    secrets = rotated(first, START * 1_000, 60_000)
    new, _ = secrets
    during, last, after, later = signed(secrets, START, START + 59, START + 60, START + 10_000)
    for headers in (during, last):
        assert verdict(old, headers) is verdict(new, headers) is Verdict.VALID
        assert len(headers["webhook-signature"].split(" ")) == 2
    for headers in (after, later):
        assert verdict(new, headers) is Verdict.VALID
        assert verdict(old, headers) is Verdict.WRONG_SIGNATURE
        assert len(headers["webhook-signature"].split(" ")) == 1


def test_each_of_several_former_secrets_has_its_own_end() -> None:
    a = (fresh(),)
    b = rotated(a, START * 1_000, 100_000)
    c = rotated(b, START * 1_000, 50_000)
    assert [each.until for each in c] == [None, (START + 50) * 1_000, (START + 50) * 1_000]
    d = rotated(b, (START + 90) * 1_000, 50_000)
    assert [each.until for each in d] == [None, (START + 140) * 1_000, (START + 100) * 1_000]
    counts = [
        len(headers["webhook-signature"].split(" ")) for headers in signed(d, *(START + s for s in (99, 100, 140)))
    ]
    assert counts == [3, 2, 1]


def test_without_an_overlap_the_former_secret_is_gone_at_once() -> None:
    first = (fresh(),)
    secrets = rotated(first, START * 1_000, 0)
    assert len(secrets) == 1
    assert secrets[0].secret != first[0].secret


def test_there_are_never_more_than_four_and_an_owner_hears_only_how_many() -> None:
    secrets: tuple[SigningSecret, ...] = (fresh(),)
    for _ in range(10):
        secrets = rotated(secrets, START * 1_000, 60_000)
    assert len(secrets) == 4
    told = shown(secrets, START * 1_000)
    assert [each["until"] for each in told] == [None] + ["2023-11-14T22:14:20.000Z"] * 3
    assert all(set(each) == {"until"} for each in told)


def test_a_rotation_ends_the_trouble_with_a_secret_that_cannot_be_had() -> None:
    secrets = rotated((SigningSecret(),), START * 1_000, 60_000)
    assert len(secrets) == 1
    assert signer_of(secrets) is not None


def test_nothing_signs_where_one_of_the_secrets_is_missing_or_none() -> None:
    broken = SigningSecret.model_construct(secret=SecretStr("whsec_short"), until=None)
    for secrets in ([], [SigningSecret()], [fresh(), SigningSecret(until=1)], [broken]):
        assert signer_of(secrets) is None
