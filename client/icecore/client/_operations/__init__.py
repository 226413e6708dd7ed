"""Requests built and answers parsed, once for both clients. Nothing here talks."""
