"""What is said of an error of redis-py where no server is needed to make it."""

from __future__ import annotations

import redis

from jobd.engine.trouble import translate


def test_a_server_without_scripts_is_told_with_what_to_install() -> None:
    told = translate(redis.ResponseError("unknown command 'evalsha', with args beginning with: "))
    assert "pip install 'fakeredis[lua]'" in str(told)
    assert "fakeredis" not in str(translate(redis.ResponseError("unknown command 'evil'")))
