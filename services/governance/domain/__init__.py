"""The rules of governance: pure functions on plain values."""
