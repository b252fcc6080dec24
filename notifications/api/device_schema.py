"""The operations of devices in the OpenAPI document."""

from drf_spectacular.utils import extend_schema_view

from notifications import errors
from notifications.api import device_shapes as shapes
from recovery.api.schema import KEY_PROBLEMS, idempotency
from slotbase.accounts.api.schema import COMMAND, PRIVATE
from slotbase.lib.api import openapi
from slotbase.lib.api.openapi import PAGE, answer, operation, page_of, problems

devices = extend_schema_view(
    get=operation(
        "listDevices",
        "List your devices",
        "Those that messages are pushed to, the newest first.",
        parameters=PAGE,
        responses={
            200: answer(page_of("DevicePage", shapes.Device), "A page of devices."),
            **problems(*PRIVATE, *openapi.WITH_INPUT),
        },
    ),
    post=operation(
        "registerDevice",
        "Push messages to a device",
        "Register at each start of the app, and when Firebase gives it another token. "
        "A token belongs to whoever registered it last. Of too many devices those that "
        "were not seen for the longest get nothing any more.",
        parameters=idempotency(required=False),
        request=shapes.DeviceInput,
        responses={
            201: answer(shapes.Device, "The device; it is new."),
            200: answer(shapes.Device, "The device; it was known."),
            **problems(*COMMAND, *KEY_PROBLEMS),
        },
    ),
)
device = extend_schema_view(
    delete=operation(
        "forgetDevice",
        "Push nothing to a device any more",
        "When the customer signs out; also the second time.",
        responses={
            204: answer(None, "Nothing is pushed there."),
            **problems(*PRIVATE, errors.DeviceNotFound),
        },
    )
)
