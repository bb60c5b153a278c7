"""Calls to the outside world: the other services, and whoever knows the price."""
