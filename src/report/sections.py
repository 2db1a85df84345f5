"""The sections of the report: what a page says about each run, and about several of them together."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from model_utils.errors import UserError
from model_utils.files import write_json, write_text
from model_utils.snapshot_names import TARGET_STATISTICS
from src.dataset.labels import ALL_IDS, make_classes
from src.dataset.samples import evenly, flat_name
from src.dataset.transforms import load_label, read_rgb
from src.pictures.plots import plot_class_bars, plot_confusion, plot_curves, plot_discriminators, plot_snapshots
from src.pictures.scenes import side_by_side
from src.report.html import Part, Section, chart, number, page, photo
from src.report.run_folder import Evaluation, RunFolder, largest_confusions, watch_of
from src.training.discriminator_health import DISCRIMINATORS, MEANING, DiscriminatorWatch, warning


def write_report(
    output: Path, title: str, runs: list[RunFolder], note: str = "", pictures: int = 6, control: str = ""
) -> dict:
    """Writes ``output/report.html`` and ``output/summary.json``; returns mIoU in percent by the evaluated runs' titles.

    Args:
        pictures: how many scenes are shown.
        control: title of the run over which gains are given; evaluations of other runs' weights with re-estimated
            statistics are called TITLE_target_statistics.
    """
    scores = {one.title: one.evaluation for one in runs if one.evaluation}
    if control:  # the others' place is in the table of gains
        runs = [one for one in runs if not one.title.endswith(TARGET_STATISTICS)]
    evaluated = {one.title: one.evaluation for one in runs if one.evaluation}
    sections: list[Section] = [("Overview", _overview(runs))]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if evaluated:
            sections += [("Classes", class_parts(evaluated, work)), ("Predictions", scene_parts(evaluated, pictures))]
            sections += [("Confusion", _confusions(evaluated, work))]
        for one in runs:
            of = f": {one.title}" if len(runs) > 1 else ""
            sections += [(f"Training{of}", _training(one, work)), (f"Snapshots{of}", _snapshots(one, work))]
            sections += [(f"Ranking{of}", _ranking(one))]
    if control:
        sections.insert(1, (f"Gains over {control}", _gains(scores, control)))
    summary = {name: round(evaluation.result["miou"], 2) for name, evaluation in scores.items()}
    write_text(output / "report.html", page(title, note, [section for section in sections if section[1]]))
    write_json(output / "summary.json", summary)
    return summary


def _overview(runs: list[RunFolder]) -> list[Part]:
    """A column per run; rows that no run has are left out."""
    facts = [_facts(one) for one in runs]
    rows = [(key, *(fact.get(key, "–") for fact in facts)) for key in dict.fromkeys(key for f in facts for key in f)]
    parts: list[Part] = [("table", ["", *(one.title for one in runs)], rows)]
    configs = [one.config for one in runs if one.config]
    if len(configs) > 1:
        keys = [key for key in configs[0] if len({str(config.get(key)) for config in configs}) > 1]
        titles = [one.title for one in runs if one.config]
        rows = [(key, *(str(config.get(key, "–")) or "–" for config in configs)) for key in keys]
        parts += [("h3", "Keys that differ", ""), ("table", ["", *titles], rows)] if keys else []
    return parts


def _gains(evaluated: dict[str, Evaluation], control: str) -> list[Part]:
    """mIoU of every run and its distance from the control's, each time under equal batch norm statistics."""
    scores = {title: evaluation.result["miou"] for title, evaluation in evaluated.items()}
    ends = [end for end in ("", TARGET_STATISTICS) if f"{control}{end}" in scores]
    rows = []
    for title in scores:
        if title.endswith(TARGET_STATISTICS):
            continue
        cells = [title]
        for end in ends:
            value = scores.get(f"{title}{end}")
            known = value is not None
            cells += [f"{value:.2f}" if known else "–", f"{value - scores[f'{control}{end}']:+.2f}" if known else "–"]
        rows.append(tuple(cells))
    heads = {"": "own statistics", TARGET_STATISTICS: "statistics of target images"}
    names = [name for end in ends for name in (f"mIoU, {heads[end]}", "over the control")]
    return [("table", ["", *names], rows)]


def _facts(one: RunFolder) -> dict[str, str]:
    facts = {"folder": str(one.folder)}
    if one.config:
        facts["system"] = " ".join(str(one.config.get(key, "")) for key in ("method", "network")).strip()
    if one.losses:
        steps = one.losses["iteration"]
        facts["iterations"] = f"{int(steps[-1]) + 1} of {one.config.get('num_steps_stop', '?')}"
        if "step_s" in one.losses:
            waiting = one.losses["data_s"].sum() / max(one.losses["step_s"].sum(), 1e-9)
            facts["time of a step"] = (
                f"{np.median(one.losses['step_s']):.3f} s ({100 * waiting:.0f} % waiting for data)"
            )
    found = [("miou", "mIoU", 2, np.nanargmax), ("entropy", "entropy", 4, np.nanargmin)]
    for key, name, digits, best in (*found, ("teacher_miou", "mIoU of the teacher", 2, np.nanargmax)):
        values = one.validation.get(key, np.empty(0))
        if np.isfinite(values).any():
            k = best(values)
            facts[f"best {name} while training"] = f"{values[k]:.{digits}f} (at {int(one.validation['iteration'][k])})"
            facts[f"last {name} while training"] = number(values[-1], digits)
    if one.evaluation:
        result = dict(one.evaluation.result)
        facts["evaluated"] = Path(result.get("checkpoint", one.evaluation.folder)).name
        facts["mIoU"] = number(result.pop("miou"))
        names = {"pixel_accuracy": "pixel accuracy", "mean_entropy": "mean entropy"}
        is_icnet = one.config.get("network", "icnet") == "icnet"  # the one whose published scores are running means
        scores = {key: value for key, value in result.items() if isinstance(value, int | float)}
        scores = {key: value for key, value in scores.items() if is_icnet or "running_mean" not in key}
        facts |= {names.get(key, key): number(value, 4 if "entropy" in key else 2) for key, value in scores.items()}
    return facts


def class_parts(evaluated: dict[str, Evaluation], work: Path) -> list[Part]:
    """IoU of every class, as bars and as a table; of two evaluations their difference too."""
    if len({tuple(one.iou) for one in evaluated.values()}) > 1:
        raise UserError(f"{', '.join(evaluated)}: were evaluated on other classes; report them apart")
    plot_class_bars({name: one.iou for name, one in evaluated.items()}, work / "classes.png")
    columns = [[*one.iou.values(), one.result["miou"]] for one in evaluated.values()]
    head, names = ["IoU (%)", *evaluated], [*next(iter(evaluated.values())).iou, "mIoU"]
    rows = [[name, *map(number, values)] for name, *values in zip(names, *columns, strict=True)]
    if len(evaluated) == 2:
        head.append("difference")
        for row, first, second in zip(rows, *columns, strict=True):
            row.append("–" if first is None or second is None else f"{second - first:+.2f}")
    return [chart(work / "classes.png"), ("total", head, rows)]


def _confusions(evaluated: dict[str, Evaluation], work: Path) -> list[Part]:
    parts = []
    for title, one in evaluated.items():
        if one.counts is None:
            continue
        names = list(one.iou)
        plot_confusion(one.counts, names, work / "confusion.png")
        rows = [
            (label, prediction, f"{share:.1f} %") for label, prediction, share in largest_confusions(one.counts, names)
        ]
        parts += [("h3", title, ""), chart(work / "confusion.png")]
        if rows:
            note = "The confusions with the most pixels; shares are of the label's pixels."
            parts += [("p", note, "note"), ("table", ["label", "predicted as", "share"], rows)]
    return parts


def scene_parts(evaluated: dict[str, Evaluation], count: int) -> list[Part]:
    """Side-by-sides of image, label and every run's prediction, of images chosen evenly among those that all runs have
    predicted and, where there are some, drawn."""
    lists = [{entry["name"]: entry["image"] for entry in one.result.get("images", [])} for one in evaluated.values()]
    first = next(iter(evaluated.values()))
    classes = make_classes(list(first.iou), first.result.get("colors", {}), [])
    parts = []
    names = [name for name in lists[0] if all(name in others for others in lists)]
    names = [name for name in names if (first.folder / "labels" / flat_name(name)).is_file()] or names
    for name in [names[place] for place in evenly(len(names), count)]:
        file, panels = flat_name(name), {}
        for title, one in evaluated.items():
            label, prediction = (
                one.folder / "labels" / file,
                one.folder / one.result.get("predictions", "cityscapes") / file,
            )
            if label.is_file() and "label" not in panels:
                panels = {"label": load_label(label, table=ALL_IDS), **panels}
            if prediction.is_file():
                panels[title] = load_label(prediction, table=ALL_IDS)
        try:
            image = read_rgb(Path(lists[0][name]))
        except UserError:  # the data set has moved: the report does without it
            image = np.full((*next(iter(panels.values())).shape, 3), 235, np.uint8) if panels else None
        if panels:
            width = max(1400 // (len(panels) + 1), 280)
            parts.append(photo(side_by_side(image, panels, classes, width), Path(file).stem))
    return parts


def _training(one: RunFolder, work: Path) -> list[Part]:
    parts = []
    if one.losses:
        (work / "curves.png").unlink(missing_ok=True)
        plot_curves(one.folder / "metrics.csv", work / "curves.png")
        parts += [chart(work / "curves.png")] if (work / "curves.png").is_file() else []
        watch = watch_of(one)
        parts += _discriminators(one, watch, work) if watch else []
        warned = [line for line in one.log if line.startswith("warning: ")]
        warned += [warning(episode, watch) for episode in watch.episodes] if watch else []
        warned = list(dict.fromkeys(warned))
        parts += [("h3", "Warnings", ""), *(("p", line, "bad") for line in warned)] if warned else []
    if one.log:
        parts.append(("folded", "End of log.txt", "\n".join(one.log[-20:])))
    if one.config:
        text = "\n".join(f"{key}: {value}" for key, value in one.config.items())
        parts.append(("folded", "Configuration", text))
    return parts


def _discriminators(one: RunFolder, watch: DiscriminatorWatch, work: Path) -> list[Part]:
    plot_discriminators(one.losses, watch, work / "discriminators.png")
    parts = [("h3", "Discriminators", ""), chart(work / "discriminators.png")]
    for name, verdict in watch.verdicts().items():
        kind = "good" if verdict.startswith("healthy") else "note" if verdict.startswith("too") else "bad"
        parts.append(("p", f"{DISCRIMINATORS[name][0]}: {verdict}.", kind))
    rows = [
        (DISCRIMINATORS[e.name][0], MEANING[e.state], str(e.start), "–" if e.end is None else str(e.end))
        for e in watch.episodes
    ]
    return parts + ([("table", ["loss", "state", "from", "to"], rows)] if rows else [])


def _snapshots(one: RunFolder, work: Path) -> list[Part]:
    if not one.snapshots:
        return []
    columns = [one.snapshots[key].tolist() for key in ("iteration", "miou", "entropy")]
    rows = list(zip(*columns, strict=True))
    plot_snapshots(rows, work / "snapshots.png")
    cells = [(str(int(iteration)), number(miou), number(entropy, 4)) for iteration, miou, entropy in rows]
    return [chart(work / "snapshots.png"), ("table", ["iteration", "mIoU (%)", "mean entropy"], cells)]


def _ranking(one: RunFolder) -> list[Part]:
    if not one.ranking:
        return []
    if not one.ranking.get("complete"):
        return [("p", "The ranking is not complete; run it again to go on.", "bad")]
    model = one.ranking.get("model", {})
    easy = sum(row.get("split") == "easy" for row in one.scores)
    rare = "yes" if one.ranking.get("normalize_rare") else "no"
    facts = [("made by", str(model.get("checkpoint"))), ("images", str(len(one.scores))), ("easy", str(easy))]
    facts += [("hard", str(len(one.scores) - easy)), ("normalised by rare classes", rare)]
    parts: list[Part] = [("table", ["ranking", ""], facts)]
    parts += [chart(path) for path in (one.folder / "histogram.png",) if path.is_file()]
    sheet = one.folder / "contact_sheet.png"
    if sheet.is_file():
        parts.append(photo(Image.fromarray(read_rgb(sheet)), "easiest and hardest images"))
    return parts
