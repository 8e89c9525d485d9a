"""Execution: builds partitions (inputs, compute, inspect, publish, record), for endpoints, event types and sources alike."""
