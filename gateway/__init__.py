"""The one front door of the network.

Owns: the route table, the merged OpenAPI document (`openapi.json` beside this file), the checks at the edge
(strict HTTP, tokens, rate limits, caps and time-outs) and the streaming proxy to the four services.
Publishes: nothing.
Consumes: nothing; it asks identity for keys and revocations, and stores nothing.
"""
