"""Train an autoencoder on normal images and measure it on images held out from them.

Ends with a table of held-out ROC-AUC, the run's folder, and the next command.
"""

from hw8.base.threads import begin_measuring
from hw8.commands.parsing import command_line
from hw8.commands.spelling import own_words, spelled
from hw8.commands.train_arguments import parse_training


def main() -> None:
    """Parse, train or resume, and print the results."""
    begin_measuring()  # while PyTorch is imported
    arguments = parse_training(__doc__ or "", own_words())
    from hw8.base.processes import processes
    from hw8.base.text import counted
    from hw8.data.sources import open_source
    from hw8.runs.train import resume_run, train_run

    if arguments.resume:
        run = resume_run(arguments.resume, arguments.run)
    else:
        run = train_run(arguments.run, arguments.out, command_line(), arguments.minutes)
    if not processes().is_main:
        return
    from hw8.report.figures import draw_images, draw_reconstructions
    from hw8.report.tables import auc_table

    folder, summary = run.folder.path, run.summary
    picture = folder / "reconstructions.png"
    draw_reconstructions(picture, run, run.images, run.splits.development)
    title = "Held-out ROC-AUC: development images against synthetic anomalies made from them"
    print(auc_table(run.held_out.common, title))
    print(auc_table(run.held_out.unseen, "The same against kinds of anomaly that no preset is trained on"))
    print(
        f"{summary['preset']}: {summary['parameters']:,} parameters, best of {counted(summary['epochs'], 'epoch')}: "
        f"{summary['best_epoch']}, {summary['train_minutes']:.1f} min, {summary['images_per_second']:,.0f} images/s"
    )
    for line in summary["warnings"]:
        print(f"Warning:  {line}")
    suspects = run.suspects
    if len(suspects.row_S):
        draw_images(folder / "suspects.png", run.images, suspects.row_S)
        some = f"{len(suspects.row_S):,} of {counted(suspects.count, 'image')}"
        print(f"Suspects: {some} look unlike the rest; if they are not normal, remove them: {folder / 'suspects.png'}")
        why = spelled("explain", "--run", folder, "--training", "--id", suspects.row_S[0])
        print(f"          why the first of them does: {why}")
    # Without a test set there is nothing to predict, but a report shows the images held out from training.
    following = ("predict", "--run") if open_source(run.config.data.source).has_test_set else ("report",)
    print(f"Run:      {folder}\nPictures: {picture}\nNext:     {spelled(*following, folder)}")
