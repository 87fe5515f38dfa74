"""Measurements of a running instance: workloads, what they record, and the report. Nothing here judges; tests do."""
