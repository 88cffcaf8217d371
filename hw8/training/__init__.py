"""Learning from normal images: one loop, its schedule, and what it saves."""
