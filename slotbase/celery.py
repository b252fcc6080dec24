"""The Celery application: it carries row ids; rows decide (decisions 4.2)."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "slotbase.settings")

app = Celery("slotbase")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
