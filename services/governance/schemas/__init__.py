"""What governance's endpoints take and give, one file per aggregate."""
