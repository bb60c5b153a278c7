"""The public endpoints of governance, one file per aggregate."""
