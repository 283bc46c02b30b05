"""Two users sign up; the second one is rolled back, and so is her job."""

import os
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from shop.models import User  # noqa: E402
from shop.signup import email_queue, sign_up  # noqa: E402

sign_up("ada@example.org")
try:
    sign_up("eve@example.invalid")
except ValueError as error:
    print(f"rolled back: {error}")

queue = email_queue()
print(f"jobs added: {sum(queue.counts().values())}")
end = time.monotonic() + 30
while not User.objects.filter(greeted=True).exists() and time.monotonic() < end:
    time.sleep(0.05)
print(f"greeted: {list(User.objects.filter(greeted=True).values_list('email', flat=True))}")
