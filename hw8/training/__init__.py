"""Training on normal images: one loop, its learning rate, and what it saves."""
