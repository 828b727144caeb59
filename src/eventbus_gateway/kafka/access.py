"""What the gateway may do in Kafka, compared with what it needs; in the words of ACLs or of IAM."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from confluent_kafka.admin._acl import AclOperation

Operations = frozenset[AclOperation]

_DESCRIBE, _READ, _WRITE = AclOperation.DESCRIBE, AclOperation.READ, AclOperation.WRITE
_IDEMPOTENT, _CONFIGS = AclOperation.IDEMPOTENT_WRITE, AclOperation.DESCRIBE_CONFIGS

# Amazon MSK, "Semantics of IAM authorization policy actions and resources".
_CLUSTER_ACTIONS = MappingProxyType({_DESCRIBE: "DescribeCluster", _IDEMPOTENT: "WriteDataIdempotently"})
_TOPIC_ACTIONS = MappingProxyType(
    {
        _DESCRIBE: "DescribeTopic",
        _READ: "ReadData",
        _WRITE: "WriteData",
        _CONFIGS: "DescribeTopicDynamicConfiguration",
    }
)
_CONSEQUENCES = MappingProxyType(
    {
        _DESCRIBE: "it can neither be written nor read",
        _READ: "it cannot be read",
        _WRITE: "publishes to it are refused",
    }
)

TOPIC_NEEDS = Operations(_CONSEQUENCES)
"""What the gateway does with a topic."""


class Finding(NamedTuple):
    """Something that somebody should mend.

    Args:
        topic: which topic it is about, None for the cluster.
        sentence: what is wrong and what to do, for the log.
    """

    topic: str | None
    sentence: str


def cluster_findings(operations: Operations | None, *, writes: bool, iam: bool) -> list[Finding]:
    """What is missing on the cluster itself.

    Args:
        operations: what we may do there; None where Kafka does not say, as it does for those who may not describe it.
        writes: whether any topic may be written: that is enough for an idempotent producer outside of IAM (KIP-679).
        iam: whether IAM decides.
    """
    if operations is None:
        if not iam:
            return []
        needed = _granted(_DESCRIBE, "the cluster", _CLUSTER_ACTIONS, iam=iam)
        return [Finding(None, f"the gateway cannot describe the cluster: grant it {needed}")]
    if _IDEMPOTENT in operations or (writes and not iam):
        return []
    needed = _granted(_IDEMPOTENT, "the cluster", _CLUSTER_ACTIONS, iam=iam)
    return [
        Finding(
            None, f"the gateway's producer may not write idempotently, so nothing can be published: grant it {needed}"
        )
    ]


def topic_findings(topic: str, operations: Operations | None, *, iam: bool) -> list[Finding]:
    """What is missing on a topic.

    Args:
        topic: its name.
        operations: what we may do there, None where Kafka does not say.
        iam: whether IAM decides.
    """
    if operations is None:
        return []
    missing = [each for each in _CONSEQUENCES if each not in operations]
    if _DESCRIBE in missing:
        missing = [_DESCRIBE]
    return [
        Finding(
            topic,
            f"the gateway lacks a permission on the topic {topic}, so {_CONSEQUENCES[each]}: "
            f"grant it {_granted(each, f'the topic {topic}', _TOPIC_ACTIONS, iam=iam)}",
        )
        for each in missing
    ]


def configs_finding(topics: Collection[str], *, iam: bool) -> Finding:
    """That the settings of topics cannot be read, told once for all of them."""
    names = sorted(topics)
    some = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    needed = _granted(_CONFIGS, "topics", _TOPIC_ACTIONS, iam=iam)
    return Finding(
        None,
        f"the gateway may not read the settings of {some}, so whether they can lose events is unknown: "
        f"grant it {needed}",
    )


def _granted(operation: AclOperation, where: str, actions: Mapping[AclOperation, str], *, iam: bool) -> str:
    return f"kafka-cluster:{actions[operation]} on {where}" if iam else f"{operation.name} on {where} by an ACL"
