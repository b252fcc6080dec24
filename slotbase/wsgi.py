"""The WSGI application that the web server serves."""

import os

from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application

from slotbase.lib import threads, watch
from slotbase.lib.charset import Utf8

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "slotbase.settings")


class Request(Utf8, WSGIRequest):
    pass


application = get_wsgi_application()
application.request_class = Request
threads.keep_one_free()
watch.start()
