"""What coaches write after a session, and customers read. All logic is in services."""

from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bookings.api import feedback_schema as schema
from bookings.api import feedback_shapes as shapes
from bookings.api.views import OWN_OBJECTS, customer_of
from bookings.services import feedback
from recovery.api.idempotent import answer_once, read_key
from slotbase.lib.api.inputs import read


def _body(booking_id: UUID, user_id: UUID) -> dict[str, Any]:
    found = feedback.get_feedback(booking_id=booking_id, user_id=user_id)
    return shapes.show_feedback(found, user_id=user_id)


@schema.feedback
class FeedbackView(APIView):
    """The feedback on a session; write notes."""

    token_needs = OWN_OBJECTS

    def get(self, request: Request, booking_id: UUID) -> Response:
        """Answer with what its coach, or its customer, may see."""
        return Response(_body(booking_id, customer_of(request)))

    def post(self, request: Request, booking_id: UUID) -> Response:
        """201 new notes, 200 the same once more."""
        once, coach_id = read_key(request), customer_of(request)
        values = read(shapes.NotesInput, request.data)

        def do() -> tuple[int, Any]:
            _, is_new = feedback.write_feedback(
                booking_id=booking_id, coach_id=coach_id, once=once, **values
            )
            return 201 if is_new else 200, _body(booking_id, coach_id)

        return answer_once(do, lambda id_: _body(id_, coach_id))


@schema.accept
class FeedbackAcceptView(APIView):
    """Let the customer read it."""

    def post(self, request: Request, booking_id: UUID) -> Response:
        """200 the feedback, which the customer can read now."""
        once, coach_id = read_key(request), customer_of(request)
        values = {"text": None, "skills": None, "drills": None}
        values |= read(shapes.AcceptInput, request.data)

        def do() -> tuple[int, Any]:
            feedback.accept_feedback(
                booking_id=booking_id, coach_id=coach_id, once=once, **values
            )
            return 200, _body(booking_id, coach_id)

        return answer_once(do, lambda id_: _body(id_, coach_id))


@schema.enhance
class FeedbackEnhanceView(APIView):
    """Have the notes enhanced again."""

    def post(self, request: Request, booking_id: UUID) -> Response:
        """200 the feedback, which waits to be enhanced."""
        once, coach_id = read_key(request), customer_of(request)
        read(shapes.AgainInput, request.data)

        def do() -> tuple[int, Any]:
            feedback.ask_again(booking_id=booking_id, coach_id=coach_id, once=once)
            return 200, _body(booking_id, coach_id)

        return answer_once(do, lambda id_: _body(id_, coach_id))
