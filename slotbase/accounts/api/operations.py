"""The operations of one's own person in the OpenAPI document."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema_view
from rest_framework import serializers as drf

from slotbase.accounts.api import serializers
from slotbase.accounts.api.schema import COMMAND, PRIVATE
from slotbase.accounts.errors import PersonNotFound, StillInBusiness
from slotbase.lib.api.openapi import Problem, answer, operation, problems


class StillInBusinessProblem(Problem):
    """A refusal that says what must be over before."""

    reasons = drf.ListField(
        child=drf.CharField(), required=False, help_text="For people, one each."
    )


me = extend_schema_view(
    get=operation(
        "getMe",
        "Look at your profile",
        "Who you are here. The e-mail address is that of your sign-in.",
        responses={
            200: answer(serializers.Profile, "The profile."),
            **problems(*PRIVATE),
        },
    ),
    patch=operation(
        "changeMe",
        "Change your profile",
        "Name, phone and language. The e-mail address is changed where you sign in.",
        request=serializers.ProfileInput,
        responses={
            200: answer(serializers.Profile, "The profile, as it is now."),
            **problems(*COMMAND),
        },
    ),
    delete=operation(
        "eraseMe",
        "Have yourself erased",
        "You are signed out at once, and within minutes nothing here tells who you "
        "are. What money did is kept, under no name. Refused while something is not "
        "over: `reasons` says what. For about a day your account at the sign-in is "
        "refused on every device; erase it there as well, or using it later makes a "
        "new customer of you.",
        responses={
            202: answer(serializers.Leaving, "You will be erased. Again: likewise."),
            **problems(*PRIVATE, StillInBusiness, shapes={409: StillInBusinessProblem}),
        },
    ),
)
export = extend_schema_view(
    get=operation(
        "exportMe",
        "Get all your data",
        "One JSON document with all that is kept of you, by part of the product. It is "
        "written as it is sent: one that breaks off is no JSON.",
        responses={
            200: OpenApiResponse(OpenApiTypes.OBJECT, description="All your data."),
            **problems(*PRIVATE, PersonNotFound),
        },
    ),
)
