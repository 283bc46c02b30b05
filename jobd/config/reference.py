"""docs/configuration.md, made from the models by `make docs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.config.as_toml import inline, plain, spelled
from jobd.config.key_docs import SINCE, meaning_of
from jobd.config.tables import (
    App,
    BackoffTable,
    Batch,
    Breaker,
    DaemonSettings,
    JobHandler,
    LogSettings,
    PerKey,
    ProcessKeys,
    QueueKeys,
    QueueTable,
    RateLimit,
    Recycle,
    RedisSettings,
    Schedule,
    WebSettings,
)
from jobd.config.validate import raw_schema
from jobd.config.values import KeepTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.config.values import Table

_HEAD = """\
# Configuration

Every key of `jobd.toml`. This page is made from the models that read the file
(`make docs`); `jobd config schema` prints the same as JSON Schema.

The file is found by `--config`, else `$JOBD_CONFIG`, else `./jobd.toml`, else `/etc/jobd/jobd.toml`; then come the
drop-ins `jobd.d/*.toml` beside it in name order. Only regular files are read. Paths are relative to the main file.
A key of `[app]`, `[redis]`, `[daemon]` or `[defaults]` can also be set by a variable `JOBD_<SECTION>__<KEY>`;
variables that Kubernetes creates for a Service named jobd are ignored. Durations are text with a unit
(`"250ms"`, `"1m30s"`), sizes too (`"512MB"` is 10^6, `"512MiB"` 2^20). `${VAR}` and `${VAR:-default}` work inside
strings.

The value of a queue's key is the first of: its own, its preset's, that of `[defaults]`, that of `[app]`, the default.
"""
_REDIS = """\

### Which URL

`redis://[user:password@]host[:port][/database]`, the same with `rediss://` for TLS, or
`unix://[user:password@]/path/of.sock[?db=1]`. In a user or a password `/` is written `%2F`, `?` `%3F`, `#` `%23` and
`@` `%40`. Anything that may be a password is shown as `***`, everywhere. A URL that cannot be used gives exit code
78 when it comes from the file or the environment, 2 when it comes from `--redis`.

Options after `?`: `db`, `username`, `password`, `client_name`, `health_check_interval`, `max_connections`,
`socket_keepalive`, `timeout`; an unknown one is refused.

### Sentinel and Cluster

`redis+sentinel://[user:password@]host[:26379],host…/MASTER[/database]` asks the sentinels in turn for the address of
the master of that name. `?sentinel_password=` (with `sentinel_username=`) is for the sentinels; user and password are
the master's. `redis+cluster://[user:password@]host[:6379],host…` asks any of the nodes which one owns the slot.
`rediss+sentinel://` and `rediss+cluster://` are the same with TLS. The question is asked each time a connection is
opened; a connection to a server that is no longer the master is dropped at once, and what it refused is sent once more.

On a Cluster all keys of a queue must be in one slot. Give the prefix a hash tag, `prefix = "{bull}"`, in the producers
too: then everything is on one server, and a flow may include any queues. Or put a tag into every queue's name
(`[queues."{mail}"]`): then queues are spread over the servers, and a flow stays within the queues of one tag. jobd
refuses a queue that has neither. A failover loses what the replica had not received; `min-replicas-to-write 1` on the
server bounds that.

With several tags everything works except what connects two queues: the queues of a flow must share a tag, and so must a
queue and its `dead_letter`. `check` refuses the second, Redis the first. `queue list`, `init --redis`, `events`
and `doctor` look at every server; memory, latency and settings shown by `status` and `doctor` are those of one. Events
are in order within a queue; between queues their order is that of the servers' clocks.

Split a queue that outgrows one server into several of one kind, `{mail-0}` to `{mail-7}`: one preset for all of them in
the file, and a producer that chooses by the customer's number, `Queue("{mail-%d}" % (customer % 8))`, so that the jobs
of one customer keep their order. More queues gain nothing on a single server: what is spread is Redis's time, and
jobd's load on it grows with jobs, not with queues. Measured on a Cluster of three primaries, 30,000 jobs of a handler
that does nothing, `concurrency = 50`: one queue took 26.5 µs of its server's CPU per job (the others idled); three
queues, `{mail-0}` to `{mail-2}` on different servers, took 9.6 to 9.9 µs on each.

### TLS

```toml
[redis]
url = "rediss://cache.internal:6380/0?ssl_ca_certs=/etc/ssl/cache-ca.pem"
```

| option | meaning |
|---|---|
| `ssl_ca_certs` | file with the certificates of trusted authorities, in PEM form; default: the system's |
| `ssl_ca_path` | a folder of such files, with the hashed names of `openssl rehash` |
| `ssl_certfile`, `ssl_keyfile`, `ssl_password` | the client's certificate, its key and the key's password |
| `ssl_cert_reqs` | `required` (default), `optional` or `none`; Celery's spelling `CERT_NONE` works too |
| `ssl_check_hostname` | `false`: the certificate may be for another host |
| `ssl_min_version` | `1.2` or `1.3` |
| `ssl_ciphers` | as OpenSSL writes them |

Relative paths start at the folder of the main file. `jobd check` and every start read the files, and name one that is
missing or holds no certificate.

### Secrets and rotation

A secret is `{ env = "NAME" }`, `{ file = "path" }` or `{ credential = "name" }` (systemd's `LoadCredential=`). To
rotate the password of Redis: let the server accept both, write the new one where the secret is kept, `jobd reload`,
then remove the old one from the server. `reload` reads the source again and renews connections; workers keep running.

### What needs a restart

In `[redis]`: the address in `url` (but not its user and password), `embedded`, `prefix`, `embedded_port`, `server`
and `socket_mode`. In `[daemon]`: `socket`, `state_dir`, `socket_group`, `status_group` and `http`. `jobd plan` says so,
and `jobd reload` then refuses and applies nothing.

### Rights of an ACL user

With the default prefix:

```
ACL SETUSER jobd on >password ~bull:* &* +@all -@dangerous +info +keys +scan
```
"""
_SECTIONS: list[tuple[str, str, type[Table], str]] = [
    ("[app]", "The application, and what holds for the workers of all queues.", App, ""),
    ("[redis]", "Which Redis.", RedisSettings, _REDIS),
    ("[daemon]", "The parent process.", DaemonSettings, ""),
    ("[daemon] log", "", LogSettings, ""),
    ("[defaults], [presets.NAME], [queues.NAME]", "`[queues] email = \"shop.mail:send\"` is short for a table with "
     "`handler`. The keys of `[app]` above (but `name`) can stand here too. `preset` is a key of queues only.",
     QueueTable, ""),
    ("jobs", "A handler alone, `\"shop.mail:digest\"`, is short for a table with `handler`.", JobHandler, ""),
    ("backoff", "A duration alone, `\"5s\"`, is a fixed delay.", BackoffTable, ""),
    ("rate_limit", "", RateLimit, ""),
    ("per_key", "", PerKey, ""),
    ("batch", "", Batch, ""),
    ("breaker", "", Breaker, ""),
    ("recycle", "Any of the three.", Recycle, ""),
    ("keep_completed, keep_failed", "Either or both.", KeepTable, ""),
    ("[schedules.NAME]", "What is run again and again, with what exactly: [schedules.md](schedules.md).", Schedule, ""),
    ("[web]", "The page, `jobd web`: see [web.md](web.md).", WebSettings, ""),
]  # fmt: skip


def page() -> str:
    """Return the page."""
    return "\n".join([_HEAD.rstrip(), *(line for section in _SECTIONS for line in _section(*section))]) + "\n"


def keys_of(table: type[Table]) -> list[tuple[str, str]]:
    """Return (field, key of the file) of a table, those of [app] that a queue has too left out."""
    inherited = ProcessKeys.model_fields if issubclass(table, QueueKeys) else {}
    return [(name, info.alias or name) for name, info in table.model_fields.items() if name not in inherited]


def _section(title: str, text: str, table: type[Table], more: str) -> Iterator[str]:
    yield f"\n## {title}\n"
    if text:
        yield f"{text}\n"
    yield "| key | type | default | meaning | example | since |"
    yield "|---|---|---|---|---|---|"
    for name, key in keys_of(table):
        meaning, example = meaning_of(table, key) or ("", None)
        words = (f"`{key}`", _type(table, key), _default(table, name), meaning, f"`{inline(example)}`", SINCE)
        yield "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"
    if more:
        yield more.rstrip()


def _default(table: type[Table], name: str) -> str:
    info = table.model_fields[name]
    if info.is_required():
        return "needed"
    value = info.get_default(call_default_factory=True)
    if value is None:
        return "none"
    return f"`{inline(plain(spelled(name, value)))}`"


def _type(table: type[Table], key: str) -> str:
    schema = raw_schema()
    node = schema["$defs"][table.__name__]["properties"][key] if table is not KeepTable else {}
    if table is KeepTable:
        return "whole number" if key == "count" else "duration"
    return _words(node, schema)


def _words(node: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in node:
        return "table"
    if "anyOf" in node:
        found = [_words(option, schema) for option in node["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(found))
    if "enum" in node:
        return " ".join(f"`{word}`" for word in node["enum"])
    examples = node.get("examples") or [""]
    if node.get("type") == "string":
        return {"30s": "duration", "500MB": "size", "shop.mail:send": "handler"}.get(examples[0], "text")
    if node.get("type") == "integer":
        top = node.get("maximum", 2**31 - 1)
        return f"whole number from {node['minimum']}" + (f" to {top}" if top < 2**31 - 1 else "")
    return {"boolean": "true or false", "number": "number from 0 to 1", "array": "list", "object": "table"}.get(
        str(node.get("type")), "any value"
    )


if __name__ == "__main__":
    print(page(), end="")
