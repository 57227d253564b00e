"""A desk on django-helpdesk, where staff may open the queues that they are let into."""

from tests.strangers.base_settings import *

INSTALLED_APPS = [
    *DJANGO_APPS,
    "helpdesk",
    "django_cleanup",
    *OUR_APPS,
    "tests.strangers.helpdesk.apps.Desk",
]
HELPDESK_TEAMS_MODE_ENABLED = False
HELPDESK_ENABLE_PER_QUEUE_STAFF_PERMISSION = True
HELPDESK_PUBLIC_ENABLED = True
HELPDESK_STAFF_ONLY_TICKET_OWNERS = False
LOGIN_URL = "helpdesk:login"
ROOT_URLCONF = "tests.strangers.helpdesk.urls"
