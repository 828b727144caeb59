"""Who may call, as all replicas know it together: API keys in Kafka."""
