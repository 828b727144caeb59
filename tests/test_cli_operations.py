"""How commands on tables in Kafka end, and what they say."""

from pathlib import Path

import pytest
from tests.broker import free_port
from tests.end_to_end.process import run, toml

from eventbus_gateway.api.settings import AuditSettings
from eventbus_gateway.cli_operations import NO_ANSWER, NOT_DONE, exit_status, fail, write_down
from eventbus_gateway.errors import EventTooLarge, KafkaUnavailable

NOTHING_SAVED = '{"format": 1, "entries": 0}\n'


def _config(folder: Path, *, key_table: bool) -> str:
    file = folder / "gateway.toml"
    auth = {"mode": "api_keys", "key_table": True} if key_table else {"mode": "anonymous"}
    kafka = {"bootstrap_servers": f"127.0.0.1:{free_port()}"}
    file.write_text(toml({"kafka": kafka, "auth": auth, "topic_defaults": {"format": "json"}}))
    return str(file)


def _saved(folder: Path) -> str:
    file = folder / "saved.ndjson"
    file.write_text(NOTHING_SAVED)
    return str(file)


@pytest.mark.parametrize(
    "command",
    [["keys", "list"], ["keys", "revoke", "0" * 16], ["tables", "save"], ["tables", "restore"]],
    ids=" ".join,
)
def test_a_kafka_that_does_not_answer_ends_each_of_them_with_a_status_of_its_own(
    command: list[str], tmp_path: Path
) -> None:
    files = [_saved(tmp_path)] if command[-1] == "restore" else []
    status, out, err = run(*command, "--config", _config(tmp_path, key_table=True), "--timeout", "1", *files)
    assert (status, out) == (3, "")
    line = err.splitlines()[-1]
    assert line.startswith("Error: Kafka did not")
    assert line.endswith(".")
    assert not line.endswith("..")


def test_where_no_tables_are_configured_there_is_nothing_to_save_or_restore(tmp_path: Path) -> None:
    config, said = _config(tmp_path, key_table=False), "subscriptions.enabled and auth.key_table are false"
    ended = 1, "", f"Error: {said}, so there are no tables.\n"
    assert run("tables", "save", "--config", config) == ended
    assert run("tables", "restore", "--config", config, _saved(tmp_path)) == ended


def test_an_audit_that_cannot_be_told_is_no_reason_to_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_down(AuditSettings(file=str(tmp_path / "no" / "where")), "key.create", "keys/labs", "done")
    said = "The audit has no line of this: audit.file cannot be opened: No such file or directory.\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize("sentence", ["It is so", "It is so."])
def test_what_is_said_at_the_end_has_one_full_stop(sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fail(sentence, NOT_DONE)
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", "Error: It is so.\n")


def test_only_what_can_succeed_later_counts_as_no_answer() -> None:
    assert exit_status(KafkaUnavailable("Kafka did not answer")) == NO_ANSWER
    assert exit_status(EventTooLarge("the entry is too large")) == NOT_DONE
