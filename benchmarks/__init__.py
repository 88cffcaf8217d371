"""What hw8's speed is measured against, and how."""
