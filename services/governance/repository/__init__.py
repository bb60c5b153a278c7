"""Every SQL statement of governance, one file per aggregate."""
