"""Settings of Horizon for a Hanok on loopback; what differs from run to run comes in the environment."""

import os

_work = os.environ["HANOK_WORK"]
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
SECRET_KEY = "for one run on loopback"
WEBROOT = "/"
OPENSTACK_KEYSTONE_URL = os.environ["HANOK_URL"] + "/identity/v3"
OPENSTACK_API_VERSIONS = {"identity": 3, "image": 2, "volume": 3}
SESSION_ENGINE = "django.contrib.sessions.backends.file"
SESSION_FILE_PATH = _work
STATIC_ROOT = _work + "/static"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
COMPRESS_ENABLED = False
COMPRESS_OFFLINE = False
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    # Says each call to the cloud with its status.
    "loggers": {"urllib3": {"level": "DEBUG"}},
}
