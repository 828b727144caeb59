"""Where a record's key comes from and what it may be."""

import pytest
from tests.api.publishing import (
    APPOINTMENT,
    CLOUDEVENT,
    CLOUDEVENTS,
    JSON,
    NDJSON,
    cloudevent,
    faults,
    lines,
    publish,
    stored,
)
from tests.serving import Served

from eventbus_gateway.api.settings import TopicSettings
from eventbus_gateway.api.topics import MISSING, Topic, at_path


def test_the_topics_pointer_finds_the_key_in_the_data(gateway: Served) -> None:
    publish(gateway, "appointments", APPOINTMENT)
    assert stored(gateway, "appointments").key == APPOINTMENT["appointmentId"].encode()


def test_partitionkey_goes_before_the_pointer(gateway: Served) -> None:
    publish(gateway, "appointments", APPOINTMENT, ce_partitionkey="mine")
    assert stored(gateway, "appointments").key == b"mine"


def test_without_pointer_and_partitionkey_there_is_no_key(gateway: Served) -> None:
    publish(gateway, "notes", {"id": "x"})
    assert stored(gateway, "notes").key is None


def test_escapes_and_array_places_lead_to_the_key(gateway: Served) -> None:
    publish(gateway, "keyed", {"a/b": [{"~id": "k"}]})
    assert stored(gateway, "keyed").key == b"k"


@pytest.mark.parametrize(("key", "encoded"), [("k", b"k"), ("é", "é".encode()), (7, b"7"), (-1, b"-1"), (0, b"0")])
def test_strings_and_whole_numbers_are_keys(gateway: Served, key: object, encoded: bytes) -> None:
    publish(gateway, "loose", {"id": key})
    assert stored(gateway, "loose").key == encoded


@pytest.mark.parametrize("key", [True, 1.0, 2**64, "", {}, {"a": "b"}, [], ["k"]])
def test_nothing_else_is_a_key(gateway: Served, key: object) -> None:
    assert faults(publish(gateway, "loose", {"id": key})).keys() == {"/id"}
    assert gateway.kafka.records("loose") == []


@pytest.mark.parametrize("data", [{}, {"id": None}, [], "text", None])
def test_an_optional_key_may_be_missing(gateway: Served, data: object) -> None:
    assert publish(gateway, "loose", data).status_code == 201
    assert stored(gateway, "loose").key is None


@pytest.mark.parametrize("data", [{}, {"a/b": []}, {"a/b": [{}]}, {"a/b": [{"~id": None}]}, {"a/b": {"0": 1}}])
def test_a_required_key_may_not_be_missing(gateway: Served, data: object) -> None:
    assert faults(publish(gateway, "keyed", data)).keys() == {"/a~1b/0/~0id"}


@pytest.mark.parametrize(
    ("media", "body", "pointer"),
    [
        (CLOUDEVENT, cloudevent({}), "/data/a~1b/0/~0id"),
        (CLOUDEVENTS, [cloudevent({})], "/0/data/a~1b/0/~0id"),
        (NDJSON, {}, "/0/a~1b/0/~0id"),
    ],
)
def test_a_missing_key_is_pointed_at_in_every_media_type(
    gateway: Served, media: str, body: object, pointer: str
) -> None:
    assert faults(publish(gateway, "keyed", body, media)).keys() == {pointer}


@pytest.mark.parametrize(
    ("media", "body", "status", "pointer"),
    [
        (CLOUDEVENT, cloudevent({}), 400, "/partitionkey"),
        (CLOUDEVENTS, [cloudevent({})], 422, "/0/partitionkey"),
        (JSON, {}, 400, ""),
        (NDJSON, {}, 422, "/0"),
    ],
)
def test_a_topic_without_pointer_can_require_partitionkey(
    gateway: Served, media: str, body: object, status: int, pointer: str
) -> None:
    answer = publish(gateway, "explicit", body, media)
    (found,) = faults(answer, status, "invalid_attribute" if status == 400 else "invalid_event").items()
    assert found[0] == pointer
    if media in {JSON, NDJSON}:
        assert "ce-partitionkey" in found[1]


def test_an_avro_key_carries_the_schema_of_the_keys_subject(gateway: Served) -> None:
    assert publish(gateway, "compound", {"id": {"tenant": "t", "count": 3}, "count": 1}).status_code == 201
    record = stored(gateway, "compound")
    assert record.key is not None
    assert record.key[5:] == b"\x02t\x06"
    assert record.key[:5] != record.value[:5]


def test_a_topic_without_value_schema_can_have_avro_keys(gateway: Served) -> None:
    assert publish(gateway, "numbered", b'{"id": 7}').status_code == 201
    record = stored(gateway, "numbered")
    assert record.value == b'{"id": 7}'
    assert record.key is not None
    assert record.key[5:] == b"\x0e"


@pytest.mark.parametrize(
    ("media", "below"), [(JSON, ""), (CLOUDEVENT, "/data"), (CLOUDEVENTS, "/0/data"), (NDJSON, "/0")]
)
def test_a_key_that_does_not_fit_its_schema_is_told_together_with_the_data(
    gateway: Served, media: str, below: str
) -> None:
    data: object = {"id": "x", "count": "many"}
    body = {JSON: data, NDJSON: data, CLOUDEVENT: cloudevent(data), CLOUDEVENTS: [cloudevent(data)]}[media]
    assert faults(publish(gateway, "compound", body, media)).keys() == {f"{below}/id", f"{below}/count"}


@pytest.mark.parametrize(
    ("media", "body", "pointer"),
    [
        (CLOUDEVENT, cloudevent({"id": 1}, partitionkey="one"), "/partitionkey"),
        (CLOUDEVENTS, [cloudevent({"id": 1}, partitionkey="one")], "/0/partitionkey"),
    ],
)
def test_a_partitionkey_that_does_not_fit_the_key_schema_is_pointed_at_in_the_envelope(
    gateway: Served, media: str, body: object, pointer: str
) -> None:
    assert faults(publish(gateway, "numbered", body, media), *_status(media)).keys() == {pointer}


@pytest.mark.parametrize(("media", "pointer"), [(JSON, ""), (NDJSON, "/0")])
def test_a_partitionkey_header_that_does_not_fit_the_key_schema_is_named(
    gateway: Served, media: str, pointer: str
) -> None:
    answer = publish(gateway, "numbered", {"id": 1}, media, ce_partitionkey="one")
    found = faults(answer, *_status(media))
    assert found.keys() == {pointer}
    assert "ce-partitionkey" in found[pointer]


def test_faults_of_the_data_and_of_the_partitionkey_are_told_at_once(gateway: Served) -> None:
    body = cloudevent({"id": {"tenant": "t", "count": 1}, "count": "many"}, partitionkey="one")
    answer = publish(gateway, "compound", body, CLOUDEVENT)
    assert faults(answer).keys() == {"/data/count", "/partitionkey"}
    assert "Its key has faults, too." in answer.json()["detail"]


@pytest.mark.parametrize("data", [[APPOINTMENT], "text", None])
def test_data_that_is_no_object_is_not_also_told_to_have_no_key(gateway: Served, data: object) -> None:
    answer = publish(gateway, "appointments", data)
    assert faults(answer).keys() == {""}
    assert "key" not in answer.json()["detail"]


def test_a_field_that_is_missing_is_told_once_though_it_is_the_key(gateway: Served) -> None:
    without = {name: value for name, value in APPOINTMENT.items() if name != "appointmentId"}
    assert faults(publish(gateway, "appointments", without)).keys() == {"/appointmentId"}


def _status(media: str) -> tuple[int, str]:
    return (422, "invalid_event") if media in {NDJSON, CLOUDEVENTS} else (400, "invalid_attribute")


def test_lines_without_a_key_are_each_told(gateway: Served) -> None:
    found = faults(publish(gateway, "keyed", lines({}, {"a/b": [{"~id": "k"}]}, {}), NDJSON))
    assert found.keys() == {"/0/a~1b/0/~0id", "/2/a~1b/0/~0id"}


@pytest.mark.parametrize(
    ("pointer", "data", "found"),
    [
        ("", "text", "text"),
        ("/", {"": 1}, 1),
        ("/a/1", {"a": [1, 2]}, 2),
        ("/a/01", {"a": [1, 2]}, MISSING),  # RFC 6901 section 4: no leading zeros
        ("/a/-", {"a": [1, 2]}, MISSING),
        ("/a/2", {"a": [1, 2]}, MISSING),
        ("/a/²", {"a": [1, 2, 3]}, MISSING),
        ("/a/" + "9" * 5_000, {"a": [1, 2]}, MISSING),
        ("/a/01", {"a": {"01": 3}}, 3),
        ("/~01", {"~1": 4}, 4),
        ("/a/b", {"a": "text"}, MISSING),
    ],
)
def test_a_pointer_is_followed_as_its_standard_says(pointer: str, data: object, found: object) -> None:
    path = Topic("t", TopicSettings(key=pointer)).key_path
    assert path is not None
    assert at_path(data, path) is found or at_path(data, path) == found
