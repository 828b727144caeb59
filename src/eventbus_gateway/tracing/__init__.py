"""Traces as OpenTelemetry has them: who is sampled, spans, and their way to a collector."""
