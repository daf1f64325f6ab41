"""Features: windowed numbers of a key's history, kept in memory and defined in SQL."""

from scudo.decisions.features.definitions import (
    EVENT_SCHEMA,
    Feature,
    FeatureSet,
    Function,
    Window,
)
from scudo.decisions.features.duckdb import features_to_duckdb
from scudo.decisions.features.reading import read_features
from scudo.decisions.features.snapshot import dump, load
from scudo.decisions.features.state import FeatureState

__all__ = [
    "EVENT_SCHEMA",
    "Feature",
    "FeatureSet",
    "FeatureState",
    "Function",
    "Window",
    "dump",
    "features_to_duckdb",
    "load",
    "read_features",
]
