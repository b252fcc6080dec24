"""Addresses of messages in the API, below /api/v1/."""

from django.urls import path

from notifications.api import devices, views

urlpatterns = [
    path("devices/", devices.DevicesView.as_view()),
    path("devices/<uuid:device_id>/", devices.DeviceView.as_view()),
    path("me/notifications/", views.MessageChoicesView.as_view()),
]
