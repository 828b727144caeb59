"""A broker that writes down what it was asked to allow, and that in the words of Amazon MSK's IAM policies."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.broker import Broker

_LOG4J = """
status = error
appenders = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %m%n
rootLogger.level = off
loggers = asked
logger.asked.name = kafka.authorizer.logger
logger.asked.level = debug
logger.asked.additivity = false
logger.asked.appenderRefs = file
logger.asked.appenderRef.file.ref = file
"""
_LINE = re.compile(
    r"is Allowed operation = (\w+) from host = \S+ on resource = (\w+):LITERAL:(\S+) for request = (\w+)"
)
# Amazon MSK, "Semantics of IAM authorization policy actions and resources"; reading on a group joins it and commits.
_ACTIONS = {
    ("Cluster", "DESCRIBE"): "DescribeCluster",
    ("Cluster", "IDEMPOTENT_WRITE"): "WriteDataIdempotently",
    ("Topic", "DESCRIBE"): "DescribeTopic",
    ("Topic", "DESCRIBE_CONFIGS"): "DescribeTopicDynamicConfiguration",
    ("Topic", "READ"): "ReadData",
    ("Topic", "WRITE"): "WriteData",
    ("Topic", "CREATE"): "CreateTopic",
    ("Topic", "DELETE"): "DeleteTopic",
    ("Topic", "ALTER"): "AlterTopic",
    ("Topic", "ALTER_CONFIGS"): "AlterTopicDynamicConfiguration",
    ("Group", "DESCRIBE"): "DescribeGroup",
    ("Group", "READ"): "AlterGroup",
    ("Group", "DELETE"): "DeleteGroup",
}


class Asked(NamedTuple):
    """Something that a client was allowed.

    Args:
        action: of IAM.
        kind: ``cluster``, ``topic`` or ``group``.
        name: of the topic or group.
    """

    action: str
    kind: str
    name: str


class Register:
    """What a broker has written down.

    Args:
        file: where to.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def asked(self) -> set[Asked]:
        """Everything so far that clients have asked for.

        Raises:
            KeyError: an operation has no action that is known here.
        """
        found = set()
        for operation, kind, name, request in _LINE.findall(self._file.read_text() if self._file.exists() else ""):
            if operation == "CLUSTER_ACTION" or name.startswith("__"):
                continue  # what brokers ask of each other
            if request == "CreateTopics":
                # Kafka asks for the cluster, then whether the new topic's settings may be told; IAM for the topic.
                if kind == "Topic":
                    found.add(Asked("CreateTopic", "topic", name))
                continue
            found.add(Asked(_ACTIONS[kind, operation], kind.lower(), name))
        return found

    def forget(self) -> None:
        """Begin anew."""
        self._file.write_text("")


@contextlib.contextmanager
def registering_broker(folder: Path) -> Iterator[tuple[Broker, Register]]:
    """A broker that allows everything and writes it down."""
    file, settings = folder / "asked.log", folder / "log4j2.properties"
    settings.write_text(_LOG4J.format(file=file))
    config = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    with Broker(config, jvm=(f"-Dlog4j2.configurationFile={settings}",)) as broker:
        yield broker, Register(file)
