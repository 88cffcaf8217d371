"""The commands: options, calls, and what they print."""
