"""CloudEvents attributes on their way in."""

import pytest
from tests.api.publishing import (
    APPOINTMENT,
    CLOUDEVENT,
    CLOUDEVENTS,
    JSON,
    NDJSON,
    attribute,
    cloudevent,
    faults,
    lines,
    problem,
    publish,
    stored,
)
from tests.serving import Served

ALL = {
    "id": "e-1",
    "source": "/sites/3",
    "type": "note.taken",
    "subject": "notes/7",
    "time": "2026-01-31T09:30:00.123+01:00",
    "dataschema": "urn:schema:7",
    "correlationid": "c-1",
    "partitionkey": "k-1",
    "sampledrate": "7",
}


def test_attributes_from_headers_become_headers_of_the_record(gateway: Served) -> None:
    answer = publish(
        gateway, "notes", {}, **{f"ce_{name}": value for name, value in ALL.items()}, ce_specversion="1.0"
    )
    assert answer.json()["id"] == "e-1"
    record = stored(gateway, "notes")
    assert {name: attribute(record, f"ce_{name}") for name in ALL} == ALL
    assert record.key == b"k-1"


def test_attributes_from_the_envelope_become_headers_of_the_record(gateway: Served) -> None:
    body = cloudevent({"a": 1}, **ALL, datacontenttype="application/json; charset=utf-8", unset=None)
    assert publish(gateway, "notes", body, CLOUDEVENT).json()["id"] == "e-1"
    record = stored(gateway, "notes")
    assert {name: attribute(record, f"ce_{name}") for name in ALL} == ALL
    assert record.value == b'{"a": 1}'
    assert {name for name, _ in record.headers} == {"content-type", "ce_specversion", *(f"ce_{name}" for name in ALL)}


def test_every_event_of_a_batch_has_its_own_attributes(gateway: Served) -> None:
    body = [cloudevent(1, id="a", partitionkey="k", subject="s"), cloudevent(2, id="b", partitionkey="k")]
    publish(gateway, "notes", body, CLOUDEVENTS)
    first, second = gateway.kafka.records("notes")
    assert (attribute(first, "ce_id"), attribute(first, "ce_subject")) == ("a", "s")
    assert (attribute(second, "ce_id"), attribute(second, "ce_subject")) == ("b", None)


def test_headers_apply_to_every_line(gateway: Served) -> None:
    publish(gateway, "notes", lines(1, 2), NDJSON, ce_subject="s", ce_partitionkey="k")
    records = gateway.kafka.records("notes")
    assert [(record.key, attribute(record, "ce_subject")) for record in records] == [(b"k", "s")] * 2
    assert len({attribute(record, "ce_id") for record in records}) == 2


def test_one_id_for_all_lines_is_refused(gateway: Served) -> None:
    document = problem(publish(gateway, "notes", lines(1), NDJSON, ce_id="e-1"), 400, "invalid_header")
    assert "ce-id" in document["detail"]


@pytest.mark.parametrize("media", [CLOUDEVENT, CLOUDEVENTS])
def test_attributes_in_headers_beside_an_envelope_are_refused(gateway: Served, media: str) -> None:
    event = cloudevent(1)
    body = [event] if media == CLOUDEVENTS else event
    problem(publish(gateway, "notes", body, media, ce_subject="s"), 400, "invalid_header")


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),  # the example of the HTTP binding, section 3.1.3.2
        ("100%25", "100%"),
        ("50%zz", "50%zz"),
        ('"quoted \\"text\\""', 'quoted "text"'),  # older senders quote, and receivers have to understand them
        ('"%E2%82%AC"', "€"),
        ('"open', '"open'),
    ],
)
def test_header_values_are_decoded_as_the_http_binding_says(gateway: Served, value: str, meant: str) -> None:
    assert publish(gateway, "notes", {}, ce_subject=value).status_code == 201
    assert attribute(stored(gateway, "notes"), "ce_subject") == meant


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce-id", ""),
        ("ce-subject", ""),
        ("ce-partitionkey", ""),
        ("ce-type", ""),
        ("ce-source", "not a uri"),
        ("ce-dataschema", ""),
        ("ce-time", "yesterday"),
        ("ce-time", "2026-02-30T10:00:00Z"),
        ("ce-time", "2026-01-31 10:00:00Z"),
        ("ce-time", "2026-01-31T10:00:00"),
        ("ce-specversion", "0.3"),
        ("ce-subject", "%ff"),
        ("ce-subject", "a%0Ab"),
        ("ce-subject", "x" * 5_000),
        ("ce-with-hyphen", "1"),
        ("ce-under_score", "1"),
        ("ce-" + "n" * 65, "1"),
        ("ce-datacontenttype", "application/json"),
        ("ce-data", "1"),
    ],
)
def test_a_header_that_is_no_attribute_is_refused_by_name(gateway: Served, name: str, value: str) -> None:
    found = gateway.client.post("/v1/topics/notes/events", content=b"{}", headers={"content-type": JSON, name: value})
    document = problem(found, 400, "invalid_attribute")
    # The body is the data here: a pointer would lead into the wrong document.
    assert [fault["pointer"] for fault in document["errors"]] == [""]
    assert name[:60] in document["errors"][0]["detail"]


def test_all_faults_of_the_headers_are_told_at_once(gateway: Served) -> None:
    answer = publish(gateway, "notes", {}, ce_id="", ce_time="never", ce_source="<>", ce_subject="%ff")
    document = problem(answer, 400, "invalid_attribute")
    assert len(document["errors"]) == 4
    assert document["outcome"] == "not_stored"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id", ""),
        ("id", 5),
        ("source", 5),
        ("source", "a b"),
        ("type", True),
        ("subject", ""),
        ("time", 1_700_000_000),
        ("time", "2026-13-01T00:00:00Z"),
        ("specversion", "1.1"),
        ("specversion", 1),
        ("specversion", None),
        ("partitionkey", ""),
        ("partitionkey", 7),
        ("partitionkey", True),
        ("partitionkey", {"a": 1}),
        ("extension", 1.5),
        ("extension", 2**31),
        ("extension", [1]),
        ("extension", {"a": 1}),
        ("extension", "a\nb"),
        ("Extension", "x"),
        ("data_base64", "AAAA"),
        ("datacontenttype", "text/plain"),
        ("datacontenttype", 1),
    ],
)
def test_a_member_that_is_no_attribute_is_refused_with_its_pointer(
    gateway: Served, member: str, value: object
) -> None:
    answer = publish(gateway, "notes", cloudevent({}) | {member: value}, CLOUDEVENT)
    assert faults(answer, 400, "invalid_attribute").keys() == {f"/{member}"}


@pytest.mark.parametrize(("value", "meant"), [(True, "true"), (False, "false"), (-(2**31), "-2147483648"), ("", "")])
def test_extensions_travel_in_their_canonical_form(gateway: Served, value: object, meant: str) -> None:
    assert publish(gateway, "notes", cloudevent({}, extension=value), CLOUDEVENT).status_code == 201
    assert attribute(stored(gateway, "notes"), "ce_extension") == meant


def test_an_integer_beyond_32_bits_is_told_its_bound(gateway: Served) -> None:
    answer = publish(gateway, "notes", cloudevent({}, extension=2**31), CLOUDEVENT)
    assert "32 bits" in faults(answer, 400, "invalid_attribute")["/extension"]


def test_all_faults_of_an_envelope_are_told_at_once(gateway: Served) -> None:
    answer = publish(gateway, "notes", {"id": "", "time": 1, "a/b~c": "x", "datacontenttype": "a/b"}, CLOUDEVENT)
    found = faults(answer, 400, "invalid_attribute")
    assert found.keys() == {"/data", "/specversion", "/id", "/time", "/a~1b~0c", "/datacontenttype"}


def test_members_that_are_null_count_as_absent(gateway: Served) -> None:
    body = cloudevent(None, id=None, subject=None, data_base64=None, datacontenttype=None)
    assert publish(gateway, "notes", body, CLOUDEVENT).status_code == 201
    record = stored(gateway, "notes")
    assert record.value == b"null"
    assert attribute(record, "ce_subject") is None


def test_an_envelope_that_is_no_object_is_refused(gateway: Served) -> None:
    problem(publish(gateway, "notes", [1], CLOUDEVENT), 400, "invalid_json")
    problem(publish(gateway, "notes", {}, CLOUDEVENTS), 400, "invalid_json")


def test_too_many_attributes_are_refused(gateway: Served) -> None:
    many = cloudevent({}, **{f"a{index}": "x" for index in range(100)})
    assert faults(publish(gateway, "notes", many, CLOUDEVENT), 400, "invalid_attribute").keys() == {""}


# What is easily mixed up


@pytest.mark.parametrize(("media", "pointer"), [(CLOUDEVENT, "/data"), (CLOUDEVENTS, "/0/data")])
def test_data_without_its_envelope_is_told_how_to_go(gateway: Served, media: str, pointer: str) -> None:
    answer = publish(gateway, "notes", [{"id": "x"}] if media == CLOUDEVENTS else {"id": "x"}, media)
    found = faults(answer, *((422, "invalid_event") if media == CLOUDEVENTS else (400, "invalid_attribute")))
    assert "application/json" in found[pointer]


def test_an_envelope_without_its_media_type_is_told_how_to_go(gateway: Served) -> None:
    wrong = publish(gateway, "appointments", cloudevent(APPOINTMENT))
    assert CLOUDEVENT in problem(wrong, 422, "invalid_event")["detail"]
    other = publish(gateway, "appointments", {"data": 1})
    assert CLOUDEVENT not in problem(other, 422, "invalid_event")["detail"]
