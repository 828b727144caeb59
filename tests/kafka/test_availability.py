"""When Kafka counts as down, and when it does not any more."""

from eventbus_gateway.kafka.availability import Availability, State


def test_one_failed_connection_is_a_reason_to_look_and_not_to_refuse() -> None:
    availability = Availability()
    availability.broker_failed()
    assert availability.state is State.SUSPECTED
    assert not availability.down
    assert not availability.settled


def test_when_all_connections_are_gone_kafka_is_down_at_once() -> None:
    availability = Availability()
    availability.all_brokers_down()
    assert availability.down


def test_a_probe_that_succeeds_settles_every_doubt() -> None:
    for trouble in (Availability.broker_failed, Availability.all_brokers_down):
        availability = Availability()
        trouble(availability)
        availability.probed(reachable=True)
        assert availability.settled


def test_two_failed_probes_in_a_row_make_a_suspicion_certain() -> None:
    availability = Availability()
    availability.broker_failed()
    availability.probed(reachable=False)
    assert not availability.down
    availability.broker_failed()
    availability.probed(reachable=False)
    assert availability.down


def test_failed_probes_of_an_earlier_trouble_do_not_count() -> None:
    availability = Availability()
    availability.broker_failed()
    availability.probed(reachable=False)
    availability.probed(reachable=True)
    availability.broker_failed()
    availability.probed(reachable=False)
    assert not availability.down


def test_another_failing_broker_does_not_lift_an_outage() -> None:
    availability = Availability()
    availability.all_brokers_down()
    availability.broker_failed()
    assert availability.down
