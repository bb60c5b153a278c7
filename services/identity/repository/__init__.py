"""Every SQL statement of identity: `get_` raises, `find_` gives None, `list_` many, `lock_` holds the row."""
