"""What a view would call. The job is added when the transaction commits, and not at all if it is rolled back."""

from functools import cache

from django.db import transaction

from jobd.client import Queue
from shop.models import User


@cache
def email_queue() -> Queue:
    """Return one client for the whole process; it is thread-safe and survives gunicorn's fork."""
    return Queue("email")


@transaction.atomic
def sign_up(email: str) -> User:
    user = User.objects.create(email=email)
    transaction.on_commit(lambda: email_queue().add("welcome", {"userId": user.id}, attempts=3))
    if email.endswith("@example.invalid"):
        raise ValueError("nobody lives there")  # rolled back: no user, no job
    return user
