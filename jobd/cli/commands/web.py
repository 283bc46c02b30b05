"""`jobd web`: the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.errors import ConfigError, Refused

if TYPE_CHECKING:
    from jobd.cli.settings import Settings

_EXTRA = ("anyio", "jinja2", "markupsafe", "multipart", "python_multipart", "starlette", "uvicorn")


@command(
    "web",
    examples=[
        "jobd web                                    # on 127.0.0.1:9465; prints the link",
        "jobd web --open                             # and opens it in a browser",
        "jobd web --read-only --redis redis://db/0   # any BullMQ Redis, without a daemon",
        "jobd web --listen unix:/run/jobd-web/web.sock --auth-header X-User   # behind a proxy",
    ],
)
@click.option("--listen", metavar="PLACE", help="Address and port, or unix:PATH; 127.0.0.1:9465 without.")
@click.option("--read-only", is_flag=True, help="Only look: nothing can be changed.")
@click.option("--open", "open_", is_flag=True, help="Open the link in a browser.")
@click.option("--auth-header", metavar="NAME", help="The proxy's header with the user; needs --listen unix:PATH.")
@click.pass_obj
def web(settings: Settings, listen: str | None, read_only: bool, open_: bool, auth_header: str | None) -> int:
    """Serve the page: look at queues and jobs in a browser, and act on them. Prints a link with a token, once."""
    try:
        from jobd.web.daemon_or_redis import Target
        from jobd.web.serve import DEFAULT_LISTEN, WebOptions, main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        text = f"no module {error.name}; the page needs the web extra: pip install '.[daemon,web]' in a clone of jobd"
        raise Refused("extra-missing", text) from None
    target = Target(settings.sockets, settings.redis, settings.config)
    options = WebOptions(target, listen or _listen_of_file(settings) or DEFAULT_LISTEN, read_only, auth_header)
    return main(options, click.echo, _open if open_ else None)


def _listen_of_file(settings: Settings) -> str | None:
    from jobd.config.load import load

    if settings.config_path() is None:
        return None
    try:
        return load(settings.config).web.listen
    except ConfigError:
        return None  # the page has a place for what is wrong with the file


def _open(link: str) -> None:
    import threading
    import webbrowser

    # Some browsers return only when they are closed.
    threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
