"""What can be wrong with an Idempotency-Key."""

from slotbase.lib.errors import Conflict, Unprocessable, ValidationFailed


class KeyRequired(ValidationFailed):
    code, title = "idempotency_key_required", "Send an Idempotency-Key"


class KeyReused(Unprocessable):
    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used for another request"


class KeyInProgress(Conflict):
    code = "idempotency_in_progress"
    title = "The first request with this key is still running"
    retryable, retry_after = True, 1
