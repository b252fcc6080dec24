"""Registers the command."""

from django.apps import AppConfig


class DoctorConfig(AppConfig):
    name = "slotbase.doctor"
    label = "doctor"
