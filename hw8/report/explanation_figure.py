"""The picture that `explain` writes: an image, its reconstruction, its maps, and the evidence."""

from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.text import percent
from hw8.report.explanation import ImageExplanation
from hw8.report.figures import save_figure
from hw8.report.heatmaps import overlay, place_in_words, three_channels
from hw8.report.plots import new_figure
from hw8.scoring.tails import ALPHA


def draw_explanation(path: Path, explanation: ImageExplanation) -> None:
    """Draw the image, its reconstruction, its error map, its score's map, and what makes it unusual.

    That is the p-value of each piece of evidence, with its share of the joint distance, and the measurements that stand
    out, whose bars point to either side of the normals' median.
    """
    figure = new_figure(14, 2.6)
    *tiles, bars, sides = figure.subplots(1, 6, width_ratios=(1, 1, 1, 1, 1.4, 1.4))
    for tile in tiles:
        tile.set(xticks=[], yticks=[])
    tiles[0].imshow(three_channels(explanation.image_HWC))
    tiles[0].set_title(explanation.name.partition(" (")[0], fontsize=8)  # a file's name may be longer than the tile
    if explanation.recon_HWC is not None and explanation.error_HW is not None:
        tiles[1].imshow(three_channels((explanation.recon_HWC + 1) / 2).clip(0, 1))
        tiles[1].set_title("reconstruction", fontsize=8)
        tiles[2].imshow(explanation.error_HW, cmap="magma", vmin=0, vmax=explanation.scale)
        tiles[2].set_title("error", fontsize=8)
    if explanation.map_HW is not None:
        tiles[3].imshow(overlay(explanation.image_HWC, explanation.map_HW))
        title = f"where the score comes from:\n{place_in_words(explanation.map_HW, explanation.score)}"
        tiles[3].set_title(title, fontsize=8)
    _draw_parts(bars, explanation)
    _draw_deviations(sides, explanation)
    for axes in (bars, sides):
        axes.tick_params(labelsize=8)
    save_figure(figure, path)


def _draw_parts(axes: Any, explanation: ImageExplanation) -> None:
    """The p-value of each piece of evidence and, of a joint distance, its share."""
    names = sorted(explanation.p_values, key=lambda name: explanation.p_values[name], reverse=True)
    drawn = axes.barh(names, [-np.log10(explanation.p_values[name]) for name in names], color="tab:red")
    title = f"how unusual: -log10 p (dotted: {ALPHA}); all: p = {explanation.p_value:.4f}"
    if explanation.shares:
        axes.bar_label(drawn, [percent(explanation.shares[name]) for name in names], padding=2, fontsize=7)
        axes.margins(x=0.2)  # for these labels
        title += "\nin %: share of the squared distance"
    axes.axvline(-np.log10(ALPHA), color="grey", linewidth=0.8, linestyle=":")
    axes.set_title(title, fontsize=8)


def _draw_deviations(axes: Any, explanation: ImageExplanation) -> None:
    """The measurements that stand out, if there are any."""
    if not explanation.deviations:
        axes.set_axis_off()
        return
    largest = [*reversed(explanation.deviations.items())]
    colours = ["tab:red" if value > 0 else "tab:blue" for _, value in largest]
    drawn = axes.barh([name for name, _ in largest], [value for _, value in largest], color=colours)
    axes.axvline(0, color="grey", linewidth=0.8)
    title = "largest deviations, in the normals' spread"
    if explanation.added:
        axes.bar_label(drawn, [percent(explanation.added[name]) for name, _ in largest], padding=2, fontsize=7)
        axes.margins(x=0.2)
        title = "named measurements that add most, in the\nnormals' spread (in %: share of the square)"
    axes.set_title(title, fontsize=8)
