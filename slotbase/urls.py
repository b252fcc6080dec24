"""Every address of the product."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView

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
    re_path(r"^webhooks/(?P<provider>stripe|resend|clerk)/$", webhooks.receive),
    path("api/schema/", pages.schema, name="schema"),
    path("api/docs/", pages.docs, name="docs"),
    path("api/docs/errors/", pages.errors, name="errors"),
    path(
        "admin/runbooks/<slug:name>/",
        admin.site.admin_view(show_runbook),
        name="runbook",
    ),
    path("admin/", admin.site.urls),
    # Asked for by browsers on pages without a link tag, such as JSON.
    path("favicon.ico", RedirectView.as_view(url=static("slotbase/favicon.svg"))),
]
