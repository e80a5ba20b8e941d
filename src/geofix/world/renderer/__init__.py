"""How it looks: the town seen from a camera."""
