"""Settings of a small Django project. Handlers run with the same ones: see [app] env in jobd.toml."""

from pathlib import Path

BASE_DIR = Path(__file__).parents[1]
SECRET_KEY = "an example has no secrets"
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3",
                         "OPTIONS": {"timeout": 20}, "CONN_MAX_AGE": 60}}  # fmt: skip
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
