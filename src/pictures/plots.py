"""Curves, bars and tables drawn with matplotlib, written by rename."""

from pathlib import Path

import numpy as np

from model_utils.files import replacing
from src.dataset.labels import Classes
from src.evaluation.metrics import read_curve
from src.training.discriminator_health import DISCRIMINATORS, WON, DiscriminatorWatch


def plot_confusion(counts: np.ndarray, names: list[str], path: Path) -> None:
    """Each row is a label's pixels, in percent of the row; classes without pixels stay white."""
    figure, axes = new_figure(10, 9)
    rows = counts.sum(1, keepdims=True)
    share = np.where(rows > 0, 100 * counts / np.maximum(rows, 1), np.nan)
    drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    for y, x in np.argwhere(np.nan_to_num(share) >= 1):
        axes.text(x, y, f"{share[y, x]:.0f}", ha="center", va="center", size=8, color="w" if share[y, x] > 55 else "k")
    figure.colorbar(drawn, label="percent of the label's pixels", shrink=0.8)
    save_figure(figure, path)


def plot_curves(metrics: Path, path: Path) -> None:
    """Losses of metrics.csv, smoothed over their raw values, and scores of the validation.csv beside it."""
    curves = read_curve(metrics)
    if len(curves.get("iteration", ())) == 0:
        return
    validation_path = metrics.with_name("validation.csv")
    scores = read_curve(validation_path) if validation_path.is_file() else {}
    iteration = curves.pop("iteration")
    groups = {
        "segmentation loss": {k: v for k, v in curves.items() if k.startswith("seg")},
        "adversarial loss": {k: v for k, v in curves.items() if k.startswith("adv")},
        "entropy loss": {k: v for k, v in curves.items() if k.startswith("ent")},
        "discriminator loss": {k: v for k, v in curves.items() if k.startswith("d_")},
        "self-training loss": {k: v for k, v in curves.items() if k.startswith(("mix", "masked", "fd"))},
        "share of sure pixels": {k: v for k, v in curves.items() if k == "q"},
    }
    panels = [(title, iteration, values, True) for title, values in groups.items() if values]
    for name, title in (("miou", "validation mIoU (%)"), ("entropy", "mean target entropy")):
        if name in scores:
            shown = {key: scores[key] for key in (name, f"teacher_{name}") if key in scores}
            panels.append((title, scores["iteration"], shown, False))
    if not panels:
        return
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure, all_axes = new_figure(4.2 * columns, 3.2 * rows, columns, rows)
    for axes in np.ravel(all_axes)[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, x, values, is_noisy) in zip(np.ravel(all_axes), panels, strict=False):
        for number, (name, y) in enumerate(values.items()):
            color = f"C{number}"
            if is_noisy:
                axes.plot(x, y, color=color, alpha=0.2, lw=0.8)
            axes.plot(x, _smooth(y) if is_noisy else y, color=color, label=name, marker="" if is_noisy else "o")
        axes.set_title(title)
        axes.set_xlabel("iteration")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    save_figure(figure, path)


def plot_class_bars(runs: dict[str, dict[str, float | None]], path: Path) -> None:
    """IoU of every class, a bar per run; of two runs also the differences. runs: title -> {class: percent or None}."""
    figure, all_axes = new_figure(11, 6 if len(runs) == 2 else 3.8, rows=2 if len(runs) == 2 else 1)
    panels, names = np.ravel(all_axes), list(next(iter(runs.values())))
    axes = panels[0]
    table = np.array([[np.nan if values[name] is None else values[name] for name in names] for values in runs.values()])
    places, width = np.arange(len(names)), 0.8 / len(runs)
    for number, (title, heights) in enumerate(zip(runs, table, strict=True)):
        axes.bar(places + (number - (len(runs) - 1) / 2) * width, heights, width, label=title)
    axes.set_ylabel("IoU (%)")
    axes.legend(frameon=False, ncols=min(len(runs), 4), loc="lower right", bbox_to_anchor=(1, 1))
    if len(runs) == 2:
        change = table[1] - table[0]
        panels[1].bar(places, change, 0.7, color=np.where(change >= 0, "C2", "C3"))
        panels[1].axhline(0, color="0.3", lw=0.8)
        panels[1].set_ylabel("{1} minus {0}\n(points)".format(*runs))
    for panel in panels:
        panel.set_xticks(places, [])
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
    panels[-1].set_xticks(places, names, rotation=45, ha="right")
    save_figure(figure, path)


def plot_seeds(rows: dict[str, list[float]], path: Path) -> None:
    """A dot per seed and a line at the mean of every row; rows: title -> mIoU in percent."""
    figure, axes = new_figure(1.2 * len(rows) + 2, 3.4)
    for place, values in enumerate(rows.values()):
        axes.plot([place] * len(values), values, "o", color=f"C{place % 10}", alpha=0.7)
        axes.hlines(np.mean(values), place - 0.3, place + 0.3, color="0.2")
    axes.set_xticks(range(len(rows)), list(rows), rotation=20, ha="right")
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_ylabel("mIoU (%)")
    axes.grid(axis="y", alpha=0.3)
    save_figure(figure, path)


def plot_validation(curves: dict[str, list[tuple[np.ndarray, np.ndarray]]], path: Path) -> None:
    """mIoU over the iterations, rows in colours; curves: title -> (iterations, mIoU in percent) of every seed."""
    figure, axes = new_figure(9, 4)
    for number, (title, seeds) in enumerate(curves.items()):
        for k, (iteration, miou) in enumerate(seeds):
            axes.plot(iteration, miou, color=f"C{number % 10}", marker=".", alpha=0.8, label="" if k else title)
    axes.set_xlabel("iteration")
    axes.set_ylabel("validation mIoU (%)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def plot_discriminators(curves: dict[str, np.ndarray], watch: DiscriminatorWatch, path: Path) -> None:
    """Loss of every watched discriminator against chance; iterations in which it was of no use are shaded."""
    names = list(watch.verdicts())
    figure, all_axes = new_figure(5.4 * len(names), 3.4, len(names))
    iteration = curves["iteration"]
    for axes, name in zip(np.ravel(all_axes), names, strict=True):
        axes.plot(iteration, curves[name], color="C0", alpha=0.25, lw=0.8)
        axes.plot(iteration, _smooth(curves[name]), color="C0", label=name)
        axes.axhline(watch.chance, color="0.3", ls="--", lw=1, label=f"chance, {watch.chance:.3f}")
        axes.axhline(WON * watch.chance, color="C3", ls=":", lw=1.2, label=f"wins below, {WON * watch.chance:.3f}")
        for episode in watch.episodes:
            if episode.name == name:
                end = iteration[-1] if episode.end is None else episode.end
                axes.axvspan(episode.start, end, color="C3", alpha=0.12, lw=0)
        axes.set_ylim(0, max(1.15 * watch.chance, 1.05 * float(np.quantile(curves[name], 0.99))))
        axes.set_title(f"{DISCRIMINATORS[name][0]} ({name})")
        axes.set_xlabel("iteration")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def plot_snapshots(rows: list[tuple[int, float, float]], path: Path) -> None:
    """mIoU and mean entropy over the iterations; rows of (iteration, mIoU in percent, entropy)."""
    iteration, miou, entropy = zip(*rows, strict=True)
    figure, (left, right) = new_figure(9, 3.4, 2)
    for axes, values, title in ((left, miou, "mIoU (%)"), (right, entropy, "mean target entropy")):
        axes.plot(iteration, values, marker="o")
        axes.set_title(title)
        axes.set_xlabel("iteration")
        axes.grid(alpha=0.3)
    best = int(np.argmax(miou))
    left.annotate(f"best {miou[best]:.2f}", (iteration[best], miou[best]), (4, -12), textcoords="offset points")
    save_figure(figure, path)


def plot_frequencies(pixels: np.ndarray, classes: Classes, title: str, path: Path) -> None:
    """Share of the labelled pixels of every class, on a logarithmic scale, in the classes' colours."""
    figure, axes = new_figure(9, 3.6)
    share = 100 * pixels / max(pixels.sum(), 1)
    places = range(len(classes.names))
    axes.bar(places, np.maximum(share, 1e-4), color=classes.palette[places] / 255, edgecolor="0.3")
    axes.set_yscale("log")
    axes.set_xticks(places, classes.names, rotation=45, ha="right")
    axes.set_ylabel("labelled pixels (%)")
    axes.set_title(title)
    axes.grid(axis="y", alpha=0.3)
    save_figure(figure, path)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean over a window of a twentieth of the curve, shorter at its ends."""
    window = max(len(values) // 20, 1)
    kernel = np.ones(window)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1):
    import matplotlib  # slow to import, and only drawing needs it

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(rows, columns, figsize=(width, height), layout="constrained")


def save_figure(figure, path: Path) -> None:
    from matplotlib import pyplot

    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=110)
    finally:
        pyplot.close(figure)
