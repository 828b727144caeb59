"""Read a topic from its beginning with the stock Kafka client and its own Avro deserializer.

usage: read_back.py BOOTSTRAP REGISTRY_URL TOPIC
"""

import sys

from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

_QUIET_SECONDS = 3.0


def main(bootstrap: str, registry: str, topic: str) -> None:
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": registry}))
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "read-back", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    while (message := consumer.poll(_QUIET_SECONDS)) is not None:
        if message.error() is None:
            key = (message.key() or b"").decode()
            value = deserialize(message.value(), SerializationContext(topic, MessageField.VALUE))
            print(f"{message.partition()}:{message.offset()} {key} {value}")
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
