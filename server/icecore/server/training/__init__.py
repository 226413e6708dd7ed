"""Codes and labels to probe versions; durable jobs in worker processes."""
