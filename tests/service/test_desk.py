"""What a transaction checks before an action may touch anything."""
