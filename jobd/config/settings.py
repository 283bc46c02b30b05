"""The whole file as pydantic-settings reads it: strictly, and from the merged tree only."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from jobd.config.model import App, DaemonSettings, QueueKeys, QueueTable, RedisSettings, Schedule


class TreeSource(PydanticBaseSettingsSource):
    """The only source: variables and files were merged before, with the origin of every value."""

    def __init__(self, settings_cls: type[BaseSettings], tree: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._tree = tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return what the tree has for one field."""
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the tree."""
        return self._tree


class Settings(BaseSettings):
    """Every table of the file, as written; presets and defaults are not yet laid under the queues."""

    model_config = SettingsConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)

    app: App = App()
    redis: RedisSettings = RedisSettings()
    daemon: DaemonSettings = DaemonSettings()
    defaults: QueueKeys = QueueKeys()
    presets: dict[str, QueueKeys] = Field(default_factory=dict)
    queues: dict[str, QueueTable] = Field(default_factory=dict)
    schedules: dict[str, Schedule] = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the tree that `of` was given, and nothing else."""
        tree = init_settings.init_kwargs["tree"] if isinstance(init_settings, InitSettingsSource) else {}
        return (TreeSource(settings_cls, tree),)

    @classmethod
    def of(cls, tree: dict[str, Any]) -> Settings:
        """Return the tree as settings.

        Raises:
            pydantic.ValidationError: with every value that does not fit.
        """
        return cls(tree=tree)  # type: ignore[call-arg]
