"""Every address of the product."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from notifications.admin.channels import show_channels
from notifications.api import unsubscribing
from notifications.previews import show_mail, show_texts
from payments.admin.export import show_export
from recovery.admin.runbooks import show_runbook
from recovery.api import health, webhooks
from slotbase.lib.api import pages

handler400 = "slotbase.lib.api.problems.bad_request"
handler404 = "slotbase.lib.api.problems.not_found"
handler500 = "slotbase.lib.api.problems.server_error"

urlpatterns = [
    path("", RedirectView.as_view(url="/api/docs/")),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("health", health.overview),
    path("api/v1/", include("bookings.api.urls")),
    path("api/v1/", include("notifications.api.urls")),
    path("api/v1/", include("slotbase.accounts.api.urls")),
    re_path(r"^webhooks/(?P<provider>stripe|resend|clerk)/$", webhooks.receive),
    path("unsubscribe/<str:token>/", unsubscribing.subscription, name="unsubscribe"),
    path("api/schema/", pages.schema, name="schema"),
    path("api/docs/", pages.docs, name="docs"),
    path("api/docs/errors/", pages.errors, name="errors"),
    path(
        "admin/runbooks/<slug:name>/",
        admin.site.admin_view(show_runbook),
        name="runbook",
    ),
    path("admin/texts/", admin.site.admin_view(show_texts), name="texts"),
    path(
        "admin/texts/<slug:name>/<slug:language>/",
        admin.site.admin_view(show_texts),
        name="texts_of",
    ),
    path(
        "admin/texts/<slug:name>/<slug:language>/mail/",
        admin.site.admin_view(show_mail),
        name="text_of_mail",
    ),
    path("admin/channels/", admin.site.admin_view(show_channels), name="channels"),
    path("admin/export/", admin.site.admin_view(show_export), name="export"),
    path("admin/", admin.site.urls),
    # Asked for by browsers on pages without a link tag, such as JSON.
    path("favicon.ico", RedirectView.as_view(url=static("slotbase/favicon.svg"))),
]
