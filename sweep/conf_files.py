"""Hydra's configuration files, each found, read and parsed once a command instead of once a composition."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Self

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult


class ReadOnce(ConfigRepository):
    """A search path whose files stay as they were when they were first read; each answer is the asker's own copy."""

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        super().initialize_sources(config_search_path)
        self._read: dict[str, ConfigResult | None] = {}
        self._options: dict[tuple[str, ObjectType | None], list[str]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Hydra copies its repository for each composition, which may give its copy a search path of its own; until
        then the copies share what was read, and need no copy of every node that Python registered."""
        return copy.copy(self)

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path not in self._read:
            self._read[config_path] = super().load_config(config_path)
        found = self._read[config_path]
        return None if found is None else replace(found, config=copy.deepcopy(found.config))

    def get_group_options(self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG) -> list[str]:
        asked = (group_name, results_filter)
        if asked not in self._options:
            self._options[asked] = super().get_group_options(group_name, results_filter)
        return list(self._options[asked])


def read_once(loader: ConfigLoader) -> None:
    """Let a loader of Hydra's read no file twice."""
    assert isinstance(loader, ConfigLoaderImpl)
    if not isinstance(loader.repository, ReadOnce):
        loader.repository = ReadOnce(loader.config_search_path)
