"""Which file, which Redis, which socket; `${}` and secrets. Shared by client, config and CLI; standard library only.

Nothing here validates: unknown keys are passed over, so that a producer is not stopped by what only the daemon needs.
"""

from __future__ import annotations

from jobd.locate.files import BrokenFile, absolute, config_places, drop_in_folder, drop_ins, find_config, shown_name
from jobd.locate.redact import mask_url, redact, star_url
from jobd.locate.redis import (
    OFFSPRING_VARIABLE,
    URL_FILE,
    WORKER_VARIABLE,
    ReadAgain,
    RedisSource,
    Renewal,
    environment_url,
    hand_down,
    inherited_source,
    redis_source,
    write_url_file,
)
from jobd.locate.sockets import SOCKET_NAME, run_socket, socket_candidates, state_dir
from jobd.locate.url import SCHEMES, RedisAddress, UrlError, absolute_files, check_tls_files, parse_redis_url
from jobd.locate.variables import LooseText, Secret, expand, read_secret, secret_of

__all__ = [
    "OFFSPRING_VARIABLE",
    "SCHEMES",
    "SOCKET_NAME",
    "URL_FILE",
    "WORKER_VARIABLE",
    "BrokenFile",
    "LooseText",
    "ReadAgain",
    "RedisAddress",
    "RedisSource",
    "Renewal",
    "Secret",
    "UrlError",
    "absolute",
    "absolute_files",
    "check_tls_files",
    "config_places",
    "drop_in_folder",
    "drop_ins",
    "environment_url",
    "expand",
    "find_config",
    "hand_down",
    "inherited_source",
    "mask_url",
    "parse_redis_url",
    "read_secret",
    "redact",
    "redis_source",
    "run_socket",
    "secret_of",
    "shown_name",
    "socket_candidates",
    "star_url",
    "state_dir",
    "write_url_file",
]
