"""Registers the demo's commands; installed only when DEMO is on."""

from django.apps import AppConfig


class DevstackConfig(AppConfig):
    name = "slotbase.devstack"
    label = "devstack"
