"""The HTTP endpoints of identity."""
