"""A Flask application that adds jobs: one Queue for the process, shared by its threads."""

from __future__ import annotations

from flask import Flask, request
from flask.typing import ResponseReturnValue

from jobd.client import Queue
from jobd.errors import InputError, RedisUnavailable


def create_app() -> Flask:
    app = Flask(__name__)
    # Thread-safe, and safe when gunicorn forks after this; it connects when it is first used.
    email = Queue("email")

    @app.post("/users")
    def sign_up() -> ResponseReturnValue:
        user_id = request.get_json()["userId"]
        job = email.add("welcome", {"userId": user_id}, job_id=f"welcome-{user_id}", attempts=3)
        return {"job": job.id}, 202

    @app.errorhandler(RedisUnavailable)
    def try_again(error: RedisUnavailable) -> ResponseReturnValue:
        return {"error": "try again"}, 503

    @app.errorhandler(InputError)
    def refuse(error: InputError) -> ResponseReturnValue:
        return {"error": str(error)}, 400

    return app
