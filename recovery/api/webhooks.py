"""Where providers send their webhooks: checked, stored, answered."""

import structlog
from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from recovery import inbox
from slotbase.lib import tally
from slotbase.lib.api.problems import INVALID, TOO_LARGE, kind_of, problem_json
from slotbase.lib.errors import Unavailable
from slotbase.providers.webhooks import BadWebhook, NotConfigured, read_webhook

log = structlog.get_logger(__name__)

MAX_BYTES = 256 * 1024


@csrf_exempt  # the signature says who sent it
@require_POST
def receive(request: HttpRequest, provider: str) -> HttpResponse:
    """200 once the webhook is stored, so that the provider need not send it again.

    400 and 413: it is not one, and sending it again would not help. 503: it cannot be
    stored now, send it again.
    """
    if len(request.body) > MAX_BYTES:
        return problem_json(TOO_LARGE, f"Send at most {MAX_BYTES} bytes.")
    try:
        envelope = read_webhook(provider, request.body, request.headers)
        is_new = inbox.store(envelope)
    except BadWebhook as error:
        log.warning("webhook_refused", provider=provider, why=str(error))
        if str(error) == "signature":
            tally.count(f"bad_signature:{provider}")
        return problem_json(INVALID, f"Not a webhook of {provider}: {error}.")
    except NotConfigured:
        log.exception("webhook_without_secret", provider=provider)
        return problem_json(kind_of(Unavailable), "No secret is configured here.")
    except (Error, Unavailable):
        log.exception("webhook_not_stored", provider=provider)
        return problem_json(kind_of(Unavailable), "It cannot be stored now.")
    return JsonResponse({"received": True, "duplicate": not is_new})
