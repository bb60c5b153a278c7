"""Rules of jobs as pure functions on plain values: states, money, payment providers, parameters."""
