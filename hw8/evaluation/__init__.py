"""How well scores separate anomalies from normal images."""
