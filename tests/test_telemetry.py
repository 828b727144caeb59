"""What is measured, as a collector of metrics reads it."""

from prometheus_client.parser import text_string_to_metric_families

from eventbus_gateway.telemetry import Counter, Gauges, Metrics, Serving, SubscriptionMetrics

NOON = 1_700_000_000.0


def read(metrics: SubscriptionMetrics) -> dict[tuple[str, ...], float]:
    """Values by metric and label values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def test_what_becomes_of_events_and_attempts_is_counted_per_subscription() -> None:
    metrics = Metrics()
    metrics.subscriptions.serving = lambda: [Serving(f"team.{name}", 0, None, None) for name in ("care", "bills")]
    metrics.subscriptions.events.add(("team.care", "handed_out"), 3)
    metrics.subscriptions.events.add(("team.bills", "handed_out"), 4)
    metrics.subscriptions.attempts.add(("team.care", "5xx"))
    samples = {
        (sample.name, sample.labels.get("subscription"), sample.labels.get("outcome")): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }
    assert samples["eventbus_subscription_events_total", "team.care", "handed_out"] == 3
    assert samples["eventbus_subscription_events_total", "team.bills", "handed_out"] == 4
    assert samples["eventbus_webhook_attempts_total", "team.care", "5xx"] == 1


def test_each_subscription_shows_what_it_holds_and_whether_its_receiver_is_failing() -> None:
    metrics = SubscriptionMetrics(lambda: NOON)
    behind = Serving("a", 7, int(NOON * 1_000) - 90_000, True)
    metrics.serving = lambda: [behind, Serving("b", 0, None, False), Serving("c", 1, int(NOON * 1_000) + 5_000, None)]
    found = read(metrics)
    assert found["eventbus_subscription_unacked_events", "a"] == 7
    assert found["eventbus_subscription_oldest_unacked_seconds", "a"] == 90
    assert found["eventbus_webhook_breaker_open", "a"] == 1
    assert found["eventbus_subscription_oldest_unacked_seconds", "b"] == 0
    assert found["eventbus_webhook_breaker_open", "b"] == 0
    assert found["eventbus_subscription_oldest_unacked_seconds", "c"] == 0, "another clock may be ahead"
    assert ("eventbus_webhook_breaker_open", "c") not in found


def test_the_parts_of_a_subscription_are_shown_together() -> None:
    first = Serving("a", 3, 2_000, False)
    assert first.joined(Serving("a", 4, 1_000, True)) == Serving("a", 7, 1_000, True)
    assert first.joined(Serving("a", 0, None, None)) == Serving("a", 3, 2_000, False)
    assert Serving("a", 0, None, None).joined(Serving("a", 0, None, None)) == Serving("a", 0, None, None)


def test_the_lag_of_a_subscription_is_shown_where_it_is_known() -> None:
    metrics = SubscriptionMetrics(lambda: NOON)
    metrics.serving = lambda: [Serving("a", 0, None, None, 12), Serving("b", 0, None, None)]
    found = read(metrics)
    assert found["eventbus_subscription_lag_events", "a"] == 12
    assert ("eventbus_subscription_lag_events", "b") not in found
    first = Serving("a", 0, None, None, 12)
    assert first.joined(Serving("a", 0, None, None, 3)).behind == 15
    assert first.joined(Serving("a", 0, None, None)).behind == 12


def test_a_number_for_each_of_a_few_things_has_a_bound() -> None:
    gauges = Gauges("g", "Things.", "thing", lambda: {"a": 1.0, "b": 2.0, "c": 3.0}, max_series=2)
    (first, second) = gauges.collect().samples
    assert (first.labels, first.value, second.labels) == ({"thing": "a"}, 1.0, {"thing": "b"})


def test_a_subscription_that_has_gone_is_read_out_once_more_and_then_forgotten() -> None:
    metrics = SubscriptionMetrics(lambda: NOON)
    series = ("eventbus_subscription_events_total", "a", "ack")
    metrics.serving = lambda: [Serving("a", 0, None, None)]
    read(metrics)
    metrics.events.add(("a", "ack"))
    metrics.serving = tuple
    assert read(metrics)[series] == 1, "what was counted since the last time is not lost"
    assert series not in read(metrics)
    assert not metrics.events.values


def test_a_counter_keeps_a_bounded_number_of_series_and_loses_no_count() -> None:
    counter = Counter("c", "Things.", ("name",), max_series=2)
    for name in ("a", "b", "c", "d"):
        counter.add((name,))
    assert counter.values == {("a",): 1, ("b",): 1, ("other",): 2}
    counter.keep({"a"})
    assert counter.values == {("a",): 1, ("other",): 2}
