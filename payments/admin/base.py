"""What all pages about money have in common: whose they are, and how they are found."""

from datetime import tzinfo
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from payments.models import Payable
from recovery.admin.cases import OwnVenuesAdmin, zone_of_venue
from recovery.backoffice import AuditedAdmin, format_reference
from slotbase.accounts.models import User
from slotbase.lib.backoffice import (
    MIN_SEARCH_LENGTH,
    BackOfficeInline,
    CappedPaginator,
    ModelAdmin,
)
from slotbase.lib.columns import follow, format_link
from slotbase.lib.ids import as_reference
from slotbase.lib.money import format_money

#: Record money that was paid by hand; give money back; hand out what is owed.
MAY_RECORD = "payments.record_payment"
MAY_REFUND = "payments.refund_payment"
MAY_PAY_OUT = "payments.pay_out_refund"


def show_money(amount_minor: int, currency: str) -> SafeString:
    """An amount that does not break over lines."""
    words = format_money(amount_minor, currency)
    return format_html('<span class="money">{}</span>', words)


def link_to(row: Model, words: Any = None) -> SafeString:
    """A link to the page of something of payments."""
    return format_link(f"payments_{row._meta.model_name}", row, words)  # noqa: SLF001 - Django's public name


class MoneyAdmin(OwnVenuesAdmin, AuditedAdmin[Any]):
    """Newest first; read-only, as money is moved by services alone."""

    path_to_venue = "payable__venue"
    #: From a row to its payable.
    path_to_payable = "payable"
    list_select_related: ClassVar[Any] = ("payable__venue", "payable__customer")
    ordering = ("-pk",)
    # Sorting by any other column would read all rows.
    sortable_by = ()
    # Says that there is a search; `get_search_results` is what it does.
    search_fields = ("pk",)
    search_help_text = "Reference, customer, or whole id at Stripe"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """What belongs to the sales that are meant."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if len(term) < MIN_SEARCH_LENGTH:
            return queryset.none(), False
        ids = find_payables(self, request, term)
        return queryset.filter(**{f"{self.path_to_payable}__in": ids}), False

    @admin.display(description="customer")
    def buyer(self, row: Any) -> SafeString | str:
        """Who bought it, as a link."""
        person = self.payable_of(row).customer
        if person is None:
            return self.get_empty_value_display()
        return format_link("accounts_user", person)

    @admin.display(description="reference")
    def sale(self, row: Any) -> SafeString | str:
        """The booking, as a link to where it is found."""
        reference = self.payable_of(row).reference
        return format_reference(reference) or self.get_empty_value_display()

    @admin.display(description="for")
    def sold(self, row: Any) -> SafeString:
        """What the money is for, as a link to all of its money."""
        return link_to(self.payable_of(row))

    def payable_of(self, row: Any) -> Payable:
        """That to which a row belongs."""
        payable: Payable = follow(row, self.path_to_payable)
        return payable


def find_payables(page: ModelAdmin[Any], request: HttpRequest, term: str) -> list[UUID]:
    """By a whole reference, by what finds the customer, and by an id of Stripe."""
    limit = CappedPaginator.limit
    people = page.admin_site.get_model_admin(User)
    found, _ = people.get_search_results(request, User.objects.all(), term)
    customers = list(found.values_list("pk", flat=True)[:limit])
    # Each in a query of its own: a condition over several tables would read them all.
    meant = [
        Q(reference=as_reference(term)),
        Q(customer__in=customers),
        Q(card_payments__provider_id=term),
        Q(refunds__provider_id=term),
        Q(card_payments__disputes__provider_id=term),
    ]
    ids: set[UUID] = set()
    for condition in meant:
        rows = Payable.objects.filter(condition).order_by("-pk")
        ids.update(rows.values_list("pk", flat=True)[:limit])
    return list(ids)


class MoneyInline(BackOfficeInline[Any, Any]):
    """Rows below their parent: looked at, never changed."""

    max_num = 0
    ordering = ("pk",)
    path_to_venue = "payable__venue"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the clock of their venue."""
        rows = super().get_queryset(request)
        return rows.select_related(self.path_to_venue)

    def zone_of(self, row: Any) -> tzinfo:
        """Its venue's, if it has one."""
        return zone_of_venue(follow(row, self.path_to_venue))

    @admin.display(description="page")
    def page(self, row: Any) -> SafeString:
        """A link to all that is known of it."""
        return link_to(row)
