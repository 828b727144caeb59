"""Read a topic from its beginning to its end with the stock Kafka client and its own Avro deserializer.

usage: read_back.py BOOTSTRAP REGISTRY_URL TOPIC
"""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

_PATIENCE_SECONDS = 10.0


def main(bootstrap: str, registry: str, topic: str) -> None:
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": registry}))
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "read-back", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, _PATIENCE_SECONDS).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    unread = set(partitions)
    while unread and (message := consumer.poll(_PATIENCE_SECONDS)) is not None:
        error = message.error()
        if error is None:
            key = (message.key() or b"").decode()
            value = deserialize(message.value(), SerializationContext(topic, MessageField.VALUE))
            print(f"{message.partition()}:{message.offset()} {key} {value}")
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard(message.partition())
    consumer.close()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
