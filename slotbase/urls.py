"""Every address of the product."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from recovery.api import health

handler400 = "slotbase.lib.api.problems.bad_request"
handler404 = "slotbase.lib.api.problems.not_found"
handler500 = "slotbase.lib.api.problems.server_error"

urlpatterns = [
    path("", RedirectView.as_view(url="/api/docs/")),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("api/v1/", include("bookings.api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "api/docs/",
        SpectacularSwaggerSplitView.as_view(
            url_name="schema", template_name="api_docs.html"
        ),
        name="docs",
    ),
    path("admin/", admin.site.urls),
    # Asked for by browsers on pages without a link tag, such as JSON.
    path("favicon.ico", RedirectView.as_view(url=static("slotbase/favicon.svg"))),
]
