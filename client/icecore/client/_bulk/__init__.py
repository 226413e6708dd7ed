"""Codes of many images: what both clients do, but for sending and waiting."""
