"""The ASGI application of every stranger's project: DJANGO_SETTINGS_MODULE says whose."""

from django.core.asgi import get_asgi_application

import bindserver

application = bindserver.asgi.wrap(get_asgi_application())
