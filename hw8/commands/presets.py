"""List the presets, a line each: what it is, and what it reached on real faces in how many minutes."""

import dataclasses
import json

from hw8.commands.parsing import parse

# Macro ROC-AUC on the labelled real faces, a mean of three seeds, and median minutes of training, as in
# docs/benchmarks/facebench.csv (course_cnn and course_vae: one seed) or, for the presets that train with Muon, in
# docs/experiments.md (one seed but for boss and resnet; the minutes with AdamW, of boss_large with Muon on one thread).
# boss_transductive trains as boss does; denoise_levels took its minutes on two cores of an AMD EPYC (commit 2aa3ef7).
MEASURED = {
    "conv": (0.629, 1.4), "fcn": (0.642, 0.9), "fcn_crop": (0.691, 0.4), "resnet": (0.688, 1.2),
    "resnet_mse": (0.689, 1.1), "centre": (0.668, 0.5), "fcn_bce": (0.691, 0.5), "conv_bce": (0.665, 0.6),
    "resnet_bce": (0.685, 1.1), "denoise_gaussian": (0.667, 0.6), "denoise_gaussian_bce": (0.665, 0.6),
    "denoise_salt_pepper": (0.667, 0.6), "denoise_mask": (0.667, 0.6), "denoise_blocks": (0.669, 0.6),
    "denoise_dropout": (0.666, 0.6), "vae": (0.686, 0.6), "vae_bce": (0.525, 0.6), "multi_encoder": (0.670, 1.0),
    "resnet_auxiliary": (0.675, 1.1), "classifier": (0.709, 1.5), "classifier_noise": (0.612, 1.7),
    "memae": (0.619, 0.5), "memae_sparse": (0.621, 0.6), "vqvae": (0.638, 0.4), "aae": (0.663, 0.6),
    "deep_svdd": (0.696, 0.3), "course_fcn": (0.568, 1.5), "course_cnn": (0.531, 3.0), "course_vae": (0.407, 4.4),
    "boss": (0.807, 5.9), "boss_quick": (0.799, 2.9), "boss_transductive": (0.957, 5.9),
    "boss_large": (0.822, 79.5), "denoise_levels": (0.646, 0.6),
}  # fmt: skip
# Presets for other images: ROC-AUC and minutes of a class, means over the classes of a set, as in docs/oneclass.md.
ELSEWHERE = {
    "boss_digits": (0.991, 1.3, "ten classes of scikit-learn's digits"),
    "boss_views": (0.845, 18.0, "three classes of CIFAR-10"),
}
# The steps of the course's ladder are presets under a second name.
LADDER = {"simple": "course_cnn", "medium": "fcn_crop", "strong": "multi_encoder", "boss_course": "resnet_auxiliary"}
MEASURED |= {step: MEASURED[name] for step, name in LADDER.items()}


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/presets.py."""

    json: bool = False
    """Print one JSON object and nothing else."""


def main() -> None:
    """Print the presets, those with the highest figure first, transductive ones last."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.base.text import aligned
    from hw8.commands.spelling import spelled
    from hw8.config.presets import DEFAULT_PRESET, PRESETS

    descriptions = {name: (load.__doc__ or "").split("\n")[0] for name, load in PRESETS.items()}
    if arguments.json:
        listed = {
            name: {"description": text}
            | dict(zip(("macro_auc", "minutes"), MEASURED.get(name, (None, None)), strict=True))
            | dict(zip(("class_auc", "class_minutes", "set"), ELSEWHERE.get(name, ()), strict=False))
            for name, text in descriptions.items()
        }
        print(json.dumps(listed))
        return
    rows = [("preset", "AUC", "minutes", "")]
    transductive = {name for name, load in PRESETS.items() if load().scoring.transductive}
    for name in sorted(descriptions, key=lambda name: (name in transductive, -MEASURED.get(name, (0, 0))[0])):
        figures = ELSEWHERE.get(name) or MEASURED.get(name)
        cells = ("", "") if figures is None else (f"{figures[0]:.3f}".lstrip("0"), f"{figures[1]:.1f}")
        mark = " (*)" if name in transductive else " (**)" if name in ELSEWHERE else ""
        rows.append((name, *cells, descriptions[name] + mark))
    lines = aligned([row[:3] for row in rows])
    print("\n".join(f"{line.ljust(len(lines[0]))}  {row[3]}".rstrip() for line, row in zip(lines, rows, strict=True)))
    print("AUC: macro ROC-AUC on 4,750 real faces with four kinds of anomaly")
    print("minutes: of training, on 2 cores; of boss, resnet and vae presets as measured when they trained with AdamW,")
    print("         of boss_large with Muon on one thread, beside other work")
    print("(*) not to be compared with the others, which score each image by itself")
    sets = ", ".join(f"{name} over {of}" for name, (*_, of) in ELSEWHERE.items())
    print(f"(**) a mean over classes, and minutes of one with scoring on one thread: {sets}")
    print(f"Next:     {spelled('train', '--preset', DEFAULT_PRESET)}")
