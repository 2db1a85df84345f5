"""What eval_adv.py can do with a checkpoint: score it, score all snapshots of its run, rank target images, time it."""

import json
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model_utils.config import Config
from model_utils.device_adapter import Device, wait_for_all
from model_utils.errors import UserError
from model_utils.files import read_json, write_csv, write_json
from model_utils.refusals import refuse_keys
from model_utils.snapshot_names import TEACHER, partner_of
from src.checkpoint import restored
from src.checkpoint.snapshot import checksum, complete_snapshots
from src.dataset.domains import Data
from src.dataset.doubts import doubt, refuse_other_sizes
from src.dataset.labels import CLASS_NAMES, Classes
from src.dataset.loader import EvalDataset, tell_broken
from src.dataset.samples import Sample, refuse_same_results
from src.evaluation.boundary import BoundaryScore
from src.evaluation.metrics import format_table, write_scores
from src.evaluation.result_folder import ResultFolder
from src.evaluation.score import Ensemble, Predict, Result, evaluate, make_predictor
from src.evaluation.speed import format_speed, measure_speed
from src.intrada.ranking import describe_model, finish_ranking, open_ranking, score_images, scored
from src.models.network import Network
from src.pictures.plots import plot_confusion, plot_snapshots
from src.recipes import recipe_of
from src.training.build import build_network


def score(config: Config, device: Device) -> None:
    """Writes predictions, pictures and tables into ``result_dir`` and prints the owner's table.

    Every process predicts its share of the images; the first one adds the counts of all.
    """
    recipe, data = recipe_of(config), Data(config)
    recipe.check_evaluation(config, device)
    if device.ranks > 1 and config.boundary_width:
        raise UserError("boundary_width: needs all images in one process; use one device")
    _say_data(data, config.eval_set)
    network, classes = network_of(config), data.classes
    refuse_same_results(data.evaluated)
    refuse_other_sizes(data.evaluated, config.output_size)
    dataset = eval_dataset(config, data.evaluated[device.rank :: device.ranks], network)
    folder = ResultFolder(Path(config.result_dir), classes, data.target.description.name)
    folder.show(data.evaluated, config.max_pictures)
    if device.is_first:
        folder.remove_pictures()
    wait_for_all(device)  # or the others' new pictures would be among them
    boundary = BoundaryScore(config.num_classes, config.boundary_width)
    report = None if config.ensemble_with else recipe.report(config)  # a mean of two networks has no details

    def each(item, prediction):
        folder.add(item, prediction.train_ids)
        if config.boundary_width and item.label is not None:
            boundary.add(item.label, prediction.train_ids)
        if report:
            report.add(item, prediction, folder.shows(item.sample))

    progress = tqdm(dataset, desc="evaluation", unit="image")
    result = evaluate(network, _predictor(config, network), progress, config.num_classes, each, config.valid_batch_size)
    more = {} if device.ranks > 1 else result.running.as_dict()
    if device.ranks > 1 and not _collect(device, result, folder, dataset.broken):
        return
    found = report.scores() if report else {}
    if config.boundary_width:
        found = {"boundary_width": boundary.width, "boundary_miou": 100 * boundary.confusion.mean_iou(), **found}
    extra = {"checkpoint": config.restore_from, "mean_entropy": result.mean_entropy, **more, **found}
    if classes.part:
        extra[f"miou_{len(classes.part)}"] = 100 * result.confusion.mean_iou(classes.part)
    extra["colors"] = {name: classes.palette[k].tolist() for k, name in enumerate(classes.names)}
    extra |= {"left_out": dataset.broken, "predictions": folder.predictions, "images": folder.images}
    write_scores(folder.root, result.confusion, classes.names, extra)
    plot_confusion(result.confusion.counts, classes.names, folder.root / "confusion.png")
    _print_scores(config, classes, result, more if recipe.RUNNING_SCORE else {}, found)
    _print_doubts(data.evaluated, result, dataset.broken)
    print(f"written to {folder.root}")


def _print_doubts(samples: list[Sample], result: Result, broken: dict[str, str]) -> None:
    """What was left out, and what is odd about the labels."""
    tell_broken(broken, len(samples))
    odd = doubt(result.pixels, samples[0].table)
    if odd:
        print(f"warning: {odd}")


def _collect(device: Device, result: Result, folder: ResultFolder, broken: dict[str, str]) -> bool:
    """Adds the other processes' counts to the first one's, through files, which keep all digits; False elsewhere."""
    part = folder.root / f"part_{device.rank}.json"
    own = {"counts": result.confusion.counts.tolist(), "outside": result.confusion.outside.tolist()}
    own |= {"pixels": result.pixels.tolist(), "broken": broken, "images": folder.images}
    write_json(part, {**own, "entropy": result.mean_entropy})
    wait_for_all(device)
    if not device.is_first:
        return False
    parts = [folder.root / f"part_{rank}.json" for rank in range(device.ranks)]
    values = [json.loads(path.read_text(encoding="utf-8")) for path in parts]
    for name in ("counts", "outside"):
        getattr(result.confusion, name)[...] = sum(np.array(value[name], np.int64) for value in values)
    result.pixels[...] = sum(np.array(value["pixels"], np.int64) for value in values)
    for value in values:
        broken.update(value["broken"])
    weights = [len(value["images"]) for value in values]
    result.mean_entropy = float(np.average([value["entropy"] for value in values], weights=weights))
    folder.images = sorted((image for value in values for image in value["images"]), key=lambda image: image["name"])
    for path in parts:
        path.unlink()
    return True


def score_snapshots(config: Config, device: Device) -> None:
    """Scores every complete snapshot of the run folder ``restore_from``; those scored before are not scored again."""
    run_folder = Path(config.restore_from)
    if not run_folder.is_dir():
        raise UserError(f"restore_from: {run_folder} is no folder; give a run folder with --eval_mode snapshots")
    if config.ensemble_with:
        raise UserError("ensemble_with: snapshots are scored one by one; leave it out, or score one of them with it")
    snapshots = complete_snapshots(run_folder)
    if not snapshots:
        raise UserError(f"restore_from: {run_folder} holds no complete snapshot")
    root = ResultFolder(Path(config.result_dir)).root
    cache = root / "snapshots.json"
    known = read_json(cache)
    data, network = Data(config), build_network(config)
    _say_data(data, config.eval_set)
    setting = _setting(config, data)
    refuse_other_sizes(data.evaluated, config.output_size)
    predict, dataset = _predictor(config, network), eval_dataset(config, data.evaluated, network)
    rows = []
    for iteration, path in snapshots:
        weights = partner_of(path, TEACHER) if config.restore_teacher else path
        key = json.dumps([path.name, checksum(weights), setting])
        if key not in known:
            restored(network, str(path), only_main=True, teacher=config.restore_teacher)
            progress = tqdm(dataset, desc=path.name, unit="image")
            result = evaluate(network, predict, progress, config.num_classes)
            known[key] = {"miou": 100 * result.confusion.mean_iou(), "entropy": result.mean_entropy}
            write_json(cache, known)
        rows.append((iteration, known[key]["miou"], known[key]["entropy"]))
        print(f"{path.name}: mIoU {rows[-1][1]:.2f}, mean entropy {rows[-1][2]:.4f}", flush=True)
    table = [(i, f"{m:.4f}", f"{e:.6f}") for i, m, e in rows]
    write_csv(root / "snapshots.csv", ("iteration", "miou", "entropy"), table)
    plot_snapshots(rows, root / "snapshots.png")
    tell_broken(dataset.broken, len(dataset))
    best = max(rows, key=lambda row: row[1])
    last = rows[-config.last_snapshots :]
    print(f"best {best[1]:.2f} (at {best[0]}, chosen by the labels of {config.eval_set})")
    print(f"last {rows[-1][1]:.2f} (at {rows[-1][0]})")
    print(f"mean of the last {len(last)}: {sum(row[1] for row in last) / len(last):.2f}")
    print(f"written to {root}")


def _setting(config: Config, data: Data) -> dict:
    """What a snapshot's score depends on besides its weights: how it predicts, and the images with their labels."""
    keys = ("network", "num_classes", "aspp_branches", "points", "input_size_target", "output_size", "flip", "scales")
    samples = [f"{one.image.resolve()} {one.label.resolve()} {zlib.crc32(one.table)}" for one in data.evaluated]
    images = zlib.crc32("\n".join(samples).encode())
    # Files of version 1 hold the first snapshot's score for all.
    return {"version": 3, "images": images, **{key: getattr(config, key) for key in (*keys, "restore_teacher")}}


def rank(config: Config, device: Device) -> None:
    """Ranks the target's training images by entropy into ``result_dir``; every process takes its share."""
    _refuse_views(config)
    checkpoint, folder = Path(config.restore_from), Path(config.result_dir)
    data, network = Data(config), network_of(config)
    _say_data(data, config.set)
    classes, samples = data.classes, data.target_images
    refuse_same_results(samples)
    if config.normalize_rare and list(classes.names) != CLASS_NAMES:
        raise UserError("normalize_rare: knows the rare ones of Cityscapes' 19 classes only; leave it out")
    options = {key: getattr(config, key) for key in ("network", "num_classes", "aspp_branches")}
    options |= {key: True for key in ("restore_teacher", "label_by_teacher") if getattr(config, key)}
    if config.ensemble_with:
        options["ensemble"] = [checksum(Path(config.ensemble_with)), config.ensemble_weight]
    model = describe_model(checkpoint, config.input_size_target, options)
    teacher = _trained(config, teacher=True) if config.label_by_teacher else None
    if teacher is not None:
        teacher.update_parameters_name(f"{TEACHER}.")  # one compiled function holds both networks
    if device.is_first:
        open_ranking(folder, model)
    wait_for_all(device)
    done = scored(folder)
    share = [s for s in samples[device.rank :: device.ranks] if s.name not in done]
    if done:
        print(f"{len(done)} of {len(samples)} images were ranked before", flush=True)
    wait_for_all(device)  # before anyone adds to the part files that the others still read
    dataset = eval_dataset(config, share, network)
    images = tqdm(dataset, desc="ranking", unit="image")
    options = {"classes": classes, "rank": device.rank, "compiled": config.mode == "graph", "teacher": teacher}
    score_images(network, images, folder, config.input_size_target, **options)
    tell_broken(dataset.broken, len(dataset))
    write_json(folder / f"left_out_{device.rank}.json", dataset.broken)  # also when empty: an older one may be there
    wait_for_all(device)
    if device.is_first:
        rule = {"lambda_easy": config.lambda_easy, "normalize_rare": config.normalize_rare}
        left_out = [folder / f"left_out_{k}.json" for k in range(device.ranks)]
        broken = set().union(*map(read_json, left_out))
        easy, hard = finish_ranking(folder, model, [s for s in samples if s.name not in broken], **rule)
        for path in left_out:
            path.unlink()
        print(f"{len(easy)} easy and {len(hard)} hard images; written to {folder}")


def time_phases(config: Config, device: Device) -> None:
    """Prints the times of one image's phases and writes them to ``result_dir/speed.json``."""
    if not all(config.output_size):
        raise UserError("output_size: speed is measured at one size; give e.g. 2048,1024")
    _refuse_views(config)
    network = network_of(config)
    dataset = eval_dataset(config, Data(config).evaluated, network)
    (height, width), (rows, columns) = config.input_size_target, config.output_size
    folder = ResultFolder(Path(config.result_dir)).root
    options = {"output_size": config.output_size, "images": config.speed_images, "compiled": config.mode == "graph"}
    speed = measure_speed(network, dataset.load_image, dataset.samples, **options)
    print(f"{config.network} on {device.target}, image {width}x{height}, output {columns}x{rows}, batch 1")
    print(format_speed(speed))
    values = {"network": config.network, "device": device.target, "image": [height, width], "output": [rows, columns]}
    write_json(folder / "speed.json", {**values, "images": config.speed_images, "ms": speed})
    print(f"written to {folder / 'speed.json'}")


MODES = {"score": score, "snapshots": score_snapshots, "rank": rank, "speed": time_phases}


def _refuse_views(config: Config) -> None:
    refuse_keys(config, f"eval_mode {config.eval_mode} looks at an image once, as it is", "flip", "scales")


def _say_data(data: Data, split: str) -> None:
    print(f"data: {data.target.description.name} in {data.target.root}, {split}", flush=True)


def eval_dataset(config: Config, samples: list[Sample], network: Network) -> EvalDataset:
    """The samples as the network's inputs."""
    options = {"same_size": not all(config.output_size), "on_broken": config.on_broken}
    return EvalDataset(samples, config.input_size_target, network.PIXELS, **options)


def _trained(config: Config, *, teacher: bool) -> Network:
    return restored(build_network(config), config.restore_from, only_main=True, teacher=teacher)


def network_of(config: Config) -> Network:
    """The network of ``restore_from``, averaged with that of ``ensemble_with`` if there is one."""
    network = _trained(config, teacher=config.restore_teacher)
    if not config.ensemble_with:
        return network
    return Ensemble(
        network, restored(build_network(config), config.ensemble_with, only_main=True), config.ensemble_weight
    )


def _predictor(config: Config, network: Network) -> Predict:
    return make_predictor(
        network, config.output_size, flip=config.flip, scales=config.scales, compiled=config.mode == "graph"
    )


def _print_scores(
    config: Config, classes: Classes, result: Result, running: dict[str, float], found: dict[str, float]
) -> None:
    print(format_table(result.confusion, classes.names))
    if classes.part:
        value = 100 * result.confusion.mean_iou(classes.part)
        print(f"===> mIoU of {len(classes.part)} classes, without {', '.join(classes.left_out)}: {value:.2f}")
    print(f"pixel accuracy {100 * result.confusion.pixel_accuracy():.2f}, mean entropy {result.mean_entropy:.4f}")
    if running:
        print(
            f"mean of running mIoU {running['miou_running_mean']:.2f}, of running pixel accuracy "
            f"{running['pixel_accuracy_running_mean']:.2f} (taken after every {config.valid_batch_size} images, as "
            "ICNet's published scores are)"
        )
    if found:
        print(", ".join(f"{name} {value:.2f}" for name, value in found.items()))
