"""The ASGI application, for servers that speak ASGI only; views are synchronous."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "slotbase.settings")

application = get_asgi_application()
