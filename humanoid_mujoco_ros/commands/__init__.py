"""Small commands of `humanoid`."""
