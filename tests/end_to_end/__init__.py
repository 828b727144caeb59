"""The gateway as its users meet it: a process of its own, HTTP in front, a real Kafka behind."""
