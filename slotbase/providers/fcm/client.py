"""Pushes messages through Firebase Cloud Messaging, one device at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from firebase_admin import messaging
from firebase_admin.exceptions import FirebaseError

from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import BREAKER_OPEN, Outcome, ProviderError
from slotbase.providers.fcm import outcomes, transport

LONGEST_ID = 128

breaker = Breaker("fcm")


@dataclass(frozen=True)
class Push:
    """A message to one device.

    Of two with the same `collapse_key` a device shows the last one. After `ttl`, at
    `expires_at`, it is not delivered any more, such as to a phone that was off.
    """

    token: str
    title: str
    body: str
    data: Mapping[str, str]
    collapse_key: str
    ttl: timedelta
    expires_at: datetime
    is_fid: bool = False

    def __repr__(self) -> str:
        return "Push"  # its token must not stand in a log


def send_push(push: Push) -> str:
    """Push a message and return its id at FCM. Takes about ten seconds at most.

    FCM knows no keys: after an UNKNOWN outcome a second call may be a second message.

    Raises:
        ProviderError: it was not sent, or nobody knows; or the breaker is open. A code
            in `outcomes.TOKEN_IS_DEAD` means that the device is gone.
    """
    message = _encode(push)
    require_ready()
    with breaker:
        line = transport.line()
        line.authorize()
        answer = _send(line, message)
    # Out here, since the breaker would keep off the devices that can be reached.
    if isinstance(answer, ProviderError):
        raise answer
    return answer


def require_ready() -> None:
    """Return if FCM can be called now, for whoever has work to do before the call.

    Raises:
        ProviderError: the breaker is open, or there are no credentials.
    """
    if not settings.FCM_CREDENTIALS:
        raise _error(Outcome.CONFIGURATION, "not_configured")
    if breaker.state == "open":
        raise _error(Outcome.NOT_EXECUTED, BREAKER_OPEN)


def _encode(push: Push) -> messaging.Message:
    """As the SDK has it, which looks at it before anything is sent."""
    message = _make_message(push)
    try:
        messaging._MessagingService.encode_message(message)  # noqa: SLF001 - no other way
    except (ValueError, TypeError):
        # Without the error, which quotes the message.
        raise _error(Outcome.REFUSED, outcomes.INVALID_ARGUMENT) from None
    return message


def _make_message(push: Push) -> messaging.Message:
    seconds = max(int(push.ttl.total_seconds()), 1)
    message = messaging.Message(
        data=dict(push.data),
        notification=messaging.Notification(title=push.title, body=push.body),
        android=messaging.AndroidConfig(
            collapse_key=push.collapse_key, ttl=timedelta(seconds=seconds)
        ),
        apns=messaging.APNSConfig(
            headers={
                "apns-collapse-id": push.collapse_key,
                "apns-expiration": str(int(push.expires_at.timestamp())),
            }
        ),
        webpush=messaging.WebpushConfig(
            headers={"TTL": str(seconds)},
            notification=messaging.WebpushNotification(tag=push.collapse_key),
        ),
    )
    # As an argument the token would be deprecated, and it is what most apps have.
    if push.is_fid:
        message.fid = push.token
    else:
        message.token = push.token
    return message


def _send(line: transport.Line, message: messaging.Message) -> str | ProviderError:
    """An id, or the error that says nothing of FCM; any other one is raised."""
    try:
        name: Any = line.service.send(message)
    except ProviderError:
        raise
    except FirebaseError as error:
        failure = _learn(outcomes.classify(error))
        if failure.code == outcomes.THIRD_PARTY_AUTH_ERROR:
            return failure
        # Without the error, whose text may quote the message.
        raise failure from None
    except Exception:  # noqa: BLE001 - whatever broke in the SDK, it may have been sent
        raise _error(Outcome.UNKNOWN, "sdk_error") from None
    if not isinstance(name, str) or not name:
        raise _error(Outcome.UNKNOWN, "answer_malformed")
    return name[-LONGEST_ID:]


def _learn(error: ProviderError) -> ProviderError:
    if error.code == outcomes.UNAUTHENTICATED:
        transport.hang_up()
    return error


def _error(outcome: Outcome, code: str) -> ProviderError:
    return ProviderError(outcome, provider="fcm", code=code)
