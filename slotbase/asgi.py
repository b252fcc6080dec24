"""The ASGI application, for servers that speak ASGI only; views are synchronous."""

import os

from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest

from slotbase.lib import watch
from slotbase.lib.charset import Utf8

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "slotbase.settings")


class Request(Utf8, ASGIRequest):
    pass


application = get_asgi_application()
application.request_class = Request
watch.start()
