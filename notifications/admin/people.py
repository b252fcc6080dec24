"""What the page of a customer has about messages."""

from django.contrib import admin
from django.utils.safestring import SafeString

from notifications.admin.reach import format_reach
from notifications.admin.timeline import show_messages_to
from notifications.kinds import ALWAYS, Topic
from notifications.services.choices import list_unwanted
from notifications.states import Channel
from slotbase.accounts.admin.people import add_card
from slotbase.accounts.models import User


@admin.display(description="their mails")
def reach(person: User) -> SafeString:
    """Whether mails reach them."""
    return format_reach(person)


@admin.display(description="does not want")
def unwanted(person: User) -> str:
    """What they chose not to hear of."""
    chosen = list_unwanted(user_id=person.pk)
    words = [
        f"{topic.label} by {channel.lower()}"
        for topic in Topic
        for channel in Channel
        if topic not in ALWAYS and (topic, channel) in chosen
    ]
    return ", ".join(words) or "Hears of everything"


@admin.display(description="messages")
def told(person: User) -> SafeString:
    """What they were told, and whether it arrived."""
    return show_messages_to(person)


add_card("Messages", reach, unwanted, told)
