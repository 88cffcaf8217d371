"""Settings of a run, each with its meaning, unit and limits, and the presets."""

from hw8.config.schema import (
    FUSED,
    JOINT,
    RUNS,
    SECTIONS,
    SUBMISSIONS,
    TWO_SIDED,
    DataConfig,
    Device,
    Distance,
    ModelConfig,
    RunConfig,
    ScoreConfig,
    TrainConfig,
    from_mapping,
    from_yaml,
    read_config,
    to_yaml,
)

__all__ = [
    "FUSED", "JOINT", "RUNS", "SECTIONS", "SUBMISSIONS", "TWO_SIDED", "DataConfig", "Device", "Distance",
    "ModelConfig", "RunConfig", "ScoreConfig", "TrainConfig", "from_mapping", "from_yaml", "read_config", "to_yaml",
]  # fmt: skip
