"""Night from day: UNIT's networks and objectives, and a simple model of light and lamps to compare them with."""
