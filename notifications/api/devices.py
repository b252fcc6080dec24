"""Where customers are pushed to. All logic is in services."""

from typing import Any, ClassVar, cast
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from notifications import queries
from notifications.api import device_schema as schema
from notifications.api.device_shapes import DeviceInput, show_device
from notifications.services import devices
from recovery.api.idempotent import answer_once, read_key
from slotbase.accounts.models import User
from slotbase.accounts.tokens import Needs
from slotbase.lib.api.inputs import read
from slotbase.lib.api.pagination import NewestFirst


@schema.devices
class DevicesView(APIView):
    """The customer's devices; register one."""

    token_needs: ClassVar = {"GET": Needs.GRACE}

    def get(self, request: Request) -> Response:
        """Those that messages are pushed to, newest first."""
        paginator = NewestFirst()
        mine = queries.list_devices(_user_of(request))
        page = paginator.paginate_queryset(mine, request, self)
        return paginator.get_paginated_response([show_device(x) for x in page or []])

    def post(self, request: Request) -> Response:
        """201 a new device, 200 one that was known."""
        once, user_id = read_key(request), _user_of(request)
        wish = read(DeviceInput, request.data)

        def show(device_id: UUID) -> dict[str, Any]:
            return show_device(queries.get_device(device_id, user_id=user_id))

        def do() -> tuple[int, Any]:
            device_id, is_new = devices.register(user_id=user_id, once=once, **wish)
            return 201 if is_new else 200, show(device_id)

        return answer_once(do, show)


@schema.device
class DeviceView(APIView):
    """One device of the customer."""

    def delete(self, request: Request, device_id: UUID) -> Response:
        """Push nothing there any more; 204, also the second time."""
        devices.forget(user_id=_user_of(request), device_id=device_id)
        return Response(status=204)


def _user_of(request: Request) -> UUID:
    return cast(User, request.user).pk
