"""Other settings for training images whose objects are not aligned, decided from those images alone."""

import dataclasses
import logging

from hw8.base.errors import InputError, command
from hw8.config import SECTIONS, RunConfig
from hw8.config.presets import PRESETS, load_preset
from hw8.data.alignment import is_aligned
from hw8.data.arrays import Images
from hw8.data.splits import Splits

log = logging.getLogger(__name__)


def adapt_to_alignment(config: RunConfig, images: Images, splits: Splits) -> RunConfig:
    """The settings, or those of the preset `config.unaligned` if the training images are not aligned.

    What a user changed stays changed: a field is replaced only if it still has the preset's value, and none is if the
    model, or what the score is made of, is not the preset's. `unaligned` is empty in the settings returned, so that the
    choice is not made again. Raises InputError if `unaligned` names no preset.
    """
    decided = dataclasses.replace(config, unaligned="")
    if config.unaligned not in ("", *PRESETS):
        raise InputError(f"`unaligned` {config.unaligned}: no preset has this name; see {command('presets')}")
    if not config.unaligned or config.preset not in PRESETS:  # without a preset nothing is known to be unchanged
        return decided
    preset, replacement = load_preset(config.preset), load_preset(config.unaligned)
    score, preset_score = ((item.score, item.parts, item.fused) for item in (config.scoring, preset.scoring))
    is_unchanged = config.model == preset.model and score == preset_score
    if not is_unchanged or is_aligned(images, splits.train):
        return decided
    sections = {}
    for name in SECTIONS:
        current, original, new = (getattr(settings, name) for settings in (config, preset, replacement))
        replaced = {
            field.name: getattr(new, field.name)
            for field in dataclasses.fields(current)
            if getattr(current, field.name) == getattr(original, field.name)
        }
        sections[name] = dataclasses.replace(current, **replaced)
    train = sections["train"]
    if config.train.least_steps != preset.train.least_steps:  # `epochs` is a choice then, also where it is the preset's
        train = sections["train"] = dataclasses.replace(train, epochs=config.train.epochs)
    # The images are cropped and cut already.
    sections["data"] = dataclasses.replace(config.data, flip=sections["data"].flip)
    steps = f", in at least {train.least_steps:,} steps" if train.least_steps else ""
    log.info(
        "%s: objects are not in one place in these images, so that %s recognises turned and shifted views (%s)%s; %s "
        "keeps its own settings",
        images.name, config.preset, config.unaligned, steps, command("train", "--unaligned", ""),
    )  # fmt: skip
    return dataclasses.replace(decided, **sections)
