"""The measurement of bearer tokens measures what it says."""

from loadtests.bearers import measure, token
from loadtests.local_issuer import LocalIssuer, rsa_key


def test_the_tokens_are_as_long_as_real_ones_and_all_different() -> None:
    with LocalIssuer() as issuer:
        issuer.keys["rsa"] = rsa_key()
        texts = {token(issuer, "rsa", "RS256", number) for number in range(10)}
    assert len(texts) == 10
    assert all(900 < len(text) < 1_300 for text in texts)


def test_tokens_seen_before_cost_far_less_than_new_ones() -> None:
    results = {result.name: result for result in measure(0.02)}
    assert set(results) == {"bearer-seen", "bearer-first-rs256", "bearer-first-es256"}
    seen = results.pop("bearer-seen")
    assert all(seen.cpu_us_per_event * 3 < first.cpu_us_per_event for first in results.values())
