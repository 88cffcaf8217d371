"""Other settings for training images whose objects are not aligned, decided from those images alone."""

import dataclasses
import logging

from hw8.config import SECTIONS, RunConfig
from hw8.config.presets import PRESETS, load_preset
from hw8.data.alignment import is_aligned
from hw8.data.arrays import Images
from hw8.data.splits import Splits

log = logging.getLogger(__name__)


def settings_for(config: RunConfig, images: Images, splits: Splits) -> RunConfig:
    """The settings, or those of the preset `config.unaligned` if the training images are not aligned.

    What a user changed stays changed: a field is replaced only if it still has the preset's value, and none is if the
    model, or what the score is made of, is not the preset's. The settings returned are decided: their `unaligned` is
    empty.
    """
    decided = dataclasses.replace(config, unaligned="")
    if not config.unaligned or config.preset not in PRESETS:
        return decided
    base, other = load_preset(config.preset), load_preset(config.unaligned)
    made_of = [(scoring.score, scoring.parts, scoring.fused) for scoring in (config.scoring, base.scoring)]
    is_own = config.model == base.model and made_of[0] == made_of[1]
    if not is_own or is_aligned(images, splits.train):
        return decided
    log.info(
        "%s: objects are not in one place in these images, so that %s recognises turned and shifted views (%s)",
        images.name, config.preset, config.unaligned,
    )  # fmt: skip
    sections = {}
    for name in SECTIONS:
        ours, own, replaced = (getattr(settings, name) for settings in (config, base, other))
        changed = {
            field.name: getattr(replaced, field.name)
            for field in dataclasses.fields(ours)
            if getattr(ours, field.name) == getattr(own, field.name)
        }
        sections[name] = dataclasses.replace(ours, **changed)
    return dataclasses.replace(decided, **sections)
