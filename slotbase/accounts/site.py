"""The back office as a whole: who is let in, and by which pages."""

from typing import Any, cast

from django.contrib.admin import AdminSite
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from slotbase.accounts import sessions, sign_in_pages

OF_CODES = (never_cache, sensitive_post_parameters("code"))


class BackOffice(AdminSite):
    """Django's admin for staff who have shown a password and a second factor.

    A session of staff is made here alone, at the end of the second step.
    """

    def has_permission(self, request: HttpRequest) -> bool:
        """Active staff, and surely them."""
        return super().has_permission(request) and sessions.is_verified(request)

    def get_urls(self) -> list[Any]:
        """Django's, and the steps of signing in."""
        view = self.admin_view
        return [
            path("login/code/", self.sign_in_code, name="sign_in_code"),
            path("login/app/", self.sign_in_app, name="sign_in_app"),
            path("my-sign-in/", view(self.my_sign_in), name="my_sign_in"),
            path("my-sign-in/app/", view(self.my_app), name="my_app"),
            *super().get_urls(),
        ]

    @method_decorator(never_cache)
    @method_decorator(login_not_required)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The password, unless they are in."""
        index = reverse("admin:index")
        if request.method == "GET" and self.has_permission(request):
            return redirect(index)
        context = {
            **self._context(request, "Log in"),
            "app_path": request.get_full_path(),
            "username": request.user.get_username(),
            **(extra_context or {}),
        }
        if not {"next"} & {*request.GET, *request.POST}:
            context["next"] = index
        page = sign_in_pages.PasswordPage.as_view(extra_context=context)
        return cast("HttpResponse", page(request))

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Their own, after the one before."""
        context = {**self.each_context(request), **(extra_context or {})}
        page = sign_in_pages.OwnPasswordPage.as_view(extra_context=context)
        return page(request)

    @method_decorator(OF_CODES)
    @method_decorator(login_not_required)
    def sign_in_code(self, request: HttpRequest) -> HttpResponse:
        """The second step."""
        context = self._context(request, "Your code")
        return sign_in_pages.show_code_page(request, context)

    @method_decorator(OF_CODES)
    @method_decorator(login_not_required)
    def sign_in_app(self, request: HttpRequest) -> HttpResponse:
        """The second step of the first time."""
        context = self._context(request, "Your second factor")
        return sign_in_pages.show_first_app_page(request, context)

    @method_decorator(OF_CODES)
    def my_sign_in(self, request: HttpRequest) -> HttpResponse:
        """What they may do about their own sign-in."""
        context = self._context(request, "My sign-in")
        return sign_in_pages.show_my_sign_in(request, context)

    @method_decorator(OF_CODES)
    def my_app(self, request: HttpRequest) -> HttpResponse:
        """Another app instead of theirs."""
        context = self._context(request, "Your new second factor")
        return sign_in_pages.show_new_app_page(request, context)

    def _context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {**self.each_context(request), "title": title, "subtitle": None}
