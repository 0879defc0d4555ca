"""Training and evaluation of policies; imports core, and torch only to train."""
