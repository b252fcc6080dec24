"""What makes failures heal or stand in a queue: audit, idempotency, invariants."""
