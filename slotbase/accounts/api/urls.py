"""Addresses of one's own person in the API, below /api/v1/."""

from django.urls import path

from slotbase.accounts.api import views

urlpatterns = [
    path("me/", views.MeView.as_view()),
    path("me/export/", views.ExportView.as_view()),
]
