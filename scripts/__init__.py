"""Programs for developers and operators; they may import anything, and nothing imports them."""
