"""How staff sign in: password, then a code; and the page about their own sign-in.

Nobody is signed in before the second step. Whoever has no second factor makes one
first. The pages need no JavaScript.
"""

from typing import Any, cast

import segno
from django import forms
from django.contrib import messages
from django.contrib.admin.forms import (
    AdminAuthenticationForm,
    AdminPasswordChangeForm,
)
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy

from slotbase.accounts import pending, sessions
from slotbase.accounts.errors import CodeRefused, FactorExists
from slotbase.accounts.models import User
from slotbase.accounts.services import guesses, passwords, second_factors
from slotbase.accounts.sessions import client_address

WAIT = "there were too many wrong guesses: then wait some minutes"
REFUSED = f"The username or the password is not right, or {WAIT}."
OLD_REFUSED = f"Your old password is not right, or {WAIT}."
CODE_REFUSED = f"This code is not right or was used already, or {WAIT}."
NOT_SHOWN = "Your app does not show this code. Is the clock of your phone right?"

Context = dict[str, Any]


class PasswordForm(AdminAuthenticationForm):
    """Says the same whatever is wrong."""

    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": REFUSED,
    }

    def clean(self) -> dict[str, Any]:
        """Count the guess, then look."""
        name = self.cleaned_data.get("username")
        password = self.cleaned_data.get("password")
        if name is not None and password:
            self.user_cache = guesses.try_password(
                login=name, password=password, address=client_address(self.request)
            )
            if self.user_cache is None:
                raise self.get_invalid_login_error()
        return self.cleaned_data


class OwnPasswordForm(AdminPasswordChangeForm):
    """The password before is a guess as well: whoever sits there may not know it."""

    error_messages = {
        **AdminPasswordChangeForm.error_messages,
        "password_incorrect": OLD_REFUSED,
    }

    def __init__(self, *args: Any, address: str, **kwargs: Any) -> None:
        """Of whoever sits there, and from where they guess."""
        super().__init__(*args, **kwargs)
        self.address = address

    def clean_old_password(self) -> str:
        """Count the guess, then look. Not inside a transaction."""
        login = self.user.get_username()
        guess = guesses.count_guess(login=login, address=self.address)
        if guess is None:
            raise forms.ValidationError(OLD_REFUSED, code="password_incorrect")
        password: str = super().clean_old_password()
        guesses.give_back(guess)
        return password


class CodeForm(forms.Form):
    """Of six digits, or a recovery code."""

    code = forms.CharField(
        max_length=40,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "autocapitalize": "none",
                "spellcheck": "false",
                "autofocus": True,
            }
        ),
    )


class PasswordPage(LoginView):
    """The first step: it leads to the second and signs nobody in."""

    template_name = "admin/login.html"
    authentication_form = PasswordForm

    def form_valid(self, form: Any) -> HttpResponse:
        """Remember who it is for five minutes."""
        pending.begin(
            self.request,
            form.get_user(),
            # Empty unless it is an address of this site.
            next=self.get_redirect_url() or reverse("admin:index"),
            sealed_secret=second_factors.begin_enrolment(),
        )
        return redirect("admin:sign_in_code")


class OwnPasswordPage(PasswordChangeView):
    """Another password, saved with its audit entry."""

    form_class = OwnPasswordForm
    success_url = reverse_lazy("admin:password_change_done")

    def get_form_kwargs(self) -> dict[str, Any]:
        """With the address."""
        return {**super().get_form_kwargs(), "address": client_address(self.request)}

    def form_valid(self, form: Any) -> HttpResponse:
        """From now on nobody else knows it."""
        with transaction.atomic():
            passwords.record_own(user_id=form.user.pk)
            return super().form_valid(form)


def show_code_page(request: HttpRequest, context: Context) -> HttpResponse:
    """The second step: a code of the app, or a recovery code."""
    waiting = pending.find(request)
    if waiting is None:
        return redirect("admin:login")
    if not second_factors.has_factor(user_id=waiting.user.pk):
        return redirect("admin:sign_in_app")
    form = _form(request)
    shown = _take_code(request, form, waiting.user)
    if shown is None:
        return _page(request, "admin/sign_in_code.html", context, form=form)
    _let_in(request, waiting.user)
    _say_what_is_left(request, shown)
    return redirect(waiting.next)


def show_first_app_page(request: HttpRequest, context: Context) -> HttpResponse:
    """The second step of the first sign-in: make a second factor, then be let in."""
    waiting = pending.find(request)
    if waiting is None:
        return redirect("admin:login")
    if second_factors.has_factor(user_id=waiting.user.pk):
        return redirect("admin:sign_in_code")
    user, form = waiting.user, _form(request)
    codes = None
    try:
        if form.is_valid():
            codes = second_factors.enrol(
                user_id=user.pk,
                sealed_secret=waiting.sealed_secret,
                code=form.cleaned_data["code"],
            )
    except CodeRefused:
        form.add_error("code", NOT_SHOWN)
    except FactorExists:  # since we looked
        return redirect("admin:sign_in_code")
    if codes is None:
        return _app_page(request, context, form, user, waiting.sealed_secret)
    _let_in(request, user)
    return _codes_page(request, context, codes, waiting.next)


def show_my_sign_in(request: HttpRequest, context: Context) -> HttpResponse:
    """What somebody may do about their own sign-in, each after a code."""
    user = cast("User", request.user)
    form = _form(request)
    shown = _take_code(request, form, user)
    if shown is None:
        left = second_factors.count_recovery_codes(user_id=user.pk)
        return _page(request, "admin/my_sign_in.html", context, form=form, left=left)
    if request.POST.get("do") == "replace":
        _say_what_is_left(request, shown)
        pending.begin_new_app(request, second_factors.begin_enrolment())
        return redirect("admin:my_app")
    codes = second_factors.renew_recovery_codes(user_id=user.pk)
    _stay_signed_in(request, user)
    return _codes_page(request, context, codes, reverse("admin:my_sign_in"))


def show_new_app_page(request: HttpRequest, context: Context) -> HttpResponse:
    """The app that replaces the one before, confirmed by its code."""
    user, sealed_secret = cast("User", request.user), pending.find_new_app(request)
    if sealed_secret is None:
        return redirect("admin:my_sign_in")
    form = _form(request)
    codes = None
    try:
        if form.is_valid():
            codes = second_factors.replace(
                user_id=user.pk,
                sealed_secret=sealed_secret,
                code=form.cleaned_data["code"],
            )
    except CodeRefused:
        form.add_error("code", NOT_SHOWN)
    if codes is None:
        return _app_page(request, context, form, user, sealed_secret)
    _stay_signed_in(request, user)
    return _codes_page(request, context, codes, reverse("admin:my_sign_in"))


def _form(request: HttpRequest) -> CodeForm:
    return CodeForm(request.POST if request.method == "POST" else None)


def _take_code(
    request: HttpRequest, form: CodeForm, user: User
) -> second_factors.Shown | None:
    """Use up the code that was typed; the form says if it is no good."""
    if not form.is_valid():
        return None
    shown = second_factors.show_code(
        user=user, code=form.cleaned_data["code"], address=client_address(request)
    )
    if shown is None:
        form.add_error("code", CODE_REFUSED)
    return shown


def _let_in(request: HttpRequest, user: User) -> None:
    """The only place that makes a session of staff. It gets a new key."""
    pending.end(request)
    user.refresh_from_db()
    login(request, user)
    sessions.begin(request)
    second_factors.record_sign_in(user_id=user.pk)


def _stay_signed_in(request: HttpRequest, user: User) -> None:
    """The change ended all sessions but this one, which lasts no longer for it."""
    pending.end(request)
    user.refresh_from_db()
    update_session_auth_hash(request, user)
    sessions.refresh(request)


def _say_what_is_left(request: HttpRequest, shown: second_factors.Shown) -> None:
    if shown.left is not None:
        messages.warning(
            request,
            f"You used a recovery code: {shown.left} are left. Lost your phone? Replace"
            " the app under My sign-in.",
        )


def _app_page(
    request: HttpRequest,
    context: Context,
    form: CodeForm,
    user: User,
    sealed_secret: str,
) -> HttpResponse:
    address = second_factors.address_of(
        login=user.get_username(), sealed_secret=sealed_secret
    )
    picture = segno.make(address, error="m")
    secret = second_factors.reveal(sealed_secret)
    return _page(
        request,
        "admin/sign_in_app.html",
        context,
        form=form,
        picture=picture.svg_data_uri(scale=4, dark="#000", light="#fff"),
        secret=" ".join(secret[i : i + 4] for i in range(0, len(secret), 4)),
    )


def _codes_page(
    request: HttpRequest, context: Context, codes: list[str], then: str
) -> HttpResponse:
    return _page(request, "admin/sign_in_codes.html", context, codes=codes, then=then)


def _page(
    request: HttpRequest, template: str, context: Context, **more: Any
) -> HttpResponse:
    return render(request, template, {**context, **more})
