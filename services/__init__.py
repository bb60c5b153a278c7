"""The four services of the network; each owns its database and imports no other."""
