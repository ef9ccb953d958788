"""``provider:model``, as clients and configurations name a model of a provider."""

from __future__ import annotations

from typing import NamedTuple


class ModelName(NamedTuple):
    """A model of a provider.

    :ivar model: as the provider calls it; empty where none is named.
    """

    provider: str
    model: str

    @property
    def is_complete(self) -> bool:
        """Whether both are named."""
        return bool(self.provider and self.model.strip())


def parse_model_name(name: str) -> ModelName:
    """What *name* says. Without a colon, all of it is taken for the provider."""
    # Models have colons of their own (`ollama:llama3:8b`): the first one ends the provider's name.
    provider, _, model = name.partition(":")
    return ModelName(provider, model)
