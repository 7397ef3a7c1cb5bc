"""How one representation becomes another."""
