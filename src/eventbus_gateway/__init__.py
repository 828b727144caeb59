"""Event Bus Gateway: HTTP in, Kafka in the middle, HTTP out."""

__version__ = "0.1.0"
