"""A real Apache Kafka for tests and benchmarks, without Docker: jars from Maven Central, run by the local JDK.

::

    with Broker() as broker:
        broker.create_topic("appointments", 4)
        ...  # broker.bootstrap

    with BrokerCluster(3) as cluster:
        cluster.leader("appointments").kill()
"""

from tests.broker.cluster import BrokerCluster
from tests.broker.distribution import missing
from tests.broker.ports import free_port, free_run
from tests.broker.process import Broker, Node

__all__ = ["Broker", "BrokerCluster", "Node", "free_port", "free_run", "missing"]
