"""The use cases of governance, one file per aggregate."""
