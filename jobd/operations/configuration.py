"""What `config show` returns, of a daemon's configuration in force or, without one, of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.config.as_toml import show, show_toml

if TYPE_CHECKING:
    from jobd.config.model import Config
    from jobd.operations.documents.daemon import ConfigShown


def shown(config: Config, *, origin: bool) -> ConfigShown:
    """Return the configuration as one TOML text, or each key with the place it comes from."""
    if not origin:
        return {"toml": show_toml(config)}
    return {"entries": [{"key": key, "value": value, "origin": place} for key, value, place in show(config)]}
