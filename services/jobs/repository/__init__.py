"""Every SQL statement of jobs. `get_` and `lock_` raise NotFound for what is unknown or not the viewer's to see."""
