"""Bytes and JSON to measurements, pure: datagrams, server snapshots and recordings. Raises `WireError` only."""
