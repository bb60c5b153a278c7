"""The published language: every event of the network, one module per service that publishes."""
