"""What `jobd help TOPIC` tells beside the commands; the man page and the page of commands hold the same."""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """A page of help: what it is about, a sentence before the rows, and the rows (what, what it means)."""

    about: str
    intro: str
    rows: tuple[tuple[str, str], ...]


TOPICS = {
    "exit-codes": Topic(
        "how commands end",
        "A command's exit code says how it ended; with --json the error is a document on stdout as well.",
        (
            ("0", "done; of status and health: running and ready"),
            ("1", "it failed: unknown queue, no such job, a reload rolled back, a job that failed"),
            ("2", "the command line is wrong"),
            ("3", "only status, health: no daemon runs"),
            ("4", "only status, health: it runs and is not ready (starting, degraded, draining)"),
            ("10", "only plan --exit-code: there are changes"),
            ("69", "no daemon at the socket, or no Redis"),
            ("75", "timed out waiting"),
            ("77", "not permitted"),
            ("78", "the file is wrong, or a handler does not import"),
            ("130", "Ctrl-C"),
        ),
    ),
    "signals": Topic(
        "signals to the daemon",
        "Send them to the daemon (jobd run), never to its workers.",
        (
            ("TERM", "stop: no more jobs, wait until [daemon] grace, hand back what still runs; again changes nothing"),
            ("INT", "Ctrl-C: as TERM; a second hands back now, a third kills"),
            ("QUIT", "hand back now and exit"),
            ("HUP", "reload the file"),
            ("TSTP, CONT", "quiet and unquiet this host"),
            ("TTIN", "write the stacks of all workers to the log"),
        ),
    ),
    "environment": Topic(
        "variables that jobd reads",
        "Any other variable that begins with JOBD_ is an error, except those that Kubernetes makes for a Service.",
        (
            ("JOBD_CONFIG", "the main file; --config wins"),
            ("JOBD_SOCKET", "the daemon's control socket; --socket wins"),
            ("JOBD_REDIS_URL", "the Redis; --redis wins. REDIS_URL is not read: write url = \"${REDIS_URL}\""),
            ("JOBD_QUEUES", "globs of the queues that jobd run serves here"),
            ("JOBD_SECTION__KEY", "a key of [app], [redis], [daemon] or [defaults]: JOBD_DAEMON__GRACE=10s"),
            ("NO_COLOR", "no colors"),
        ),
    ),
    "files": Topic(
        "where things lie",
        "A file under /etc goes with the folders of a service; any other keeps everything beside itself.",
        (
            ("jobd.toml", "--config, else $JOBD_CONFIG, ./jobd.toml, /etc/jobd/jobd.toml"),
            ("jobd.d/*.toml", "drop-ins beside it, in the order of their names"),
            (".jobd/, /var/lib/jobd/", "the state folder: what ran, the embedded server's data"),
            (".jobd/control.sock, /run/jobd/control.sock", "the control socket"),
        ),
    ),
}  # fmt: skip
