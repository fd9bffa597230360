"""The least that Django needs."""

SECRET_KEY = "only for this example"
DEBUG = True
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["orders"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "orders.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
