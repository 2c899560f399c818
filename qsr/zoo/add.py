"""Releasing a model: from an experiment and what `qsr test` measured on it to a file, an entry of the index and a card.

The file is written anew: its tensors stay bit for bit, but its metadata loses the folders of the machine it was made on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from qsr.archs.modelfile import ModelInfo, find_model, read_info, read_state, save_model
from qsr.data.cards import find_card
from qsr.errors import DataError, FormatError, OptionsError
from qsr.evaluate.complexity import complexity
from qsr.evaluate.subject import HowToRun, describe, file_hash
from qsr.files import write_atomic
from qsr.jsonfile import read_json
from qsr.options import Options, from_json
from qsr.zoo.card import card, table
from qsr.zoo.index import INDEX, NAME, Scores, ZooModel, digest, read_index, write_index
from qsr.zoo.pack import pack

README = """# Released models

Small networks that are useful as they are; each has a card beside it. PSNR_Y in dB, in brackets above bicubic.
`qsr zoo list` prints this table, `qsr zoo get NAME` a file's place; docs/zoo.md says how to add one.

"""


@dataclass(frozen=True)
class About:
    """What the model file cannot know. results, bicubic: metrics.json of `qsr test` of the model and of --bicubic.

    data: the training set's name (default: recognised by its folder). recipe: lines to add to what the options say.
    """

    results: Path | None = None
    bicubic: Path | None = None
    data: str | None = None
    recipe: tuple[str, ...] = ()
    note: str = ""
    measure: bool = True


def add(model: Path, name: str, folder: Path, about: About | None = None, *, overwrite: bool = False) -> ZooModel:
    """Release a model file or experiment as `name` in `folder`; writes file, card, README and index.

    Raises OptionsError for a name that is taken or odd, FormatError where the results are not this file's.
    """
    about = about or About()
    if not NAME.fullmatch(name):
        raise OptionsError(f"found the name {name!r}, expected small letters, digits, _ . -")
    present = read_index(folder) if (folder / INDEX).is_file() else ()
    if any(one.name == name for one in present) and not overwrite:
        raise OptionsError(f"there is a model {name} already", where=str(folder), hint="--overwrite replaces it")
    source = find_model(model)
    info = read_info(source)
    options = from_json(info.options)
    protocol, scores = _scores(about.results, options.scale, file_hash(source)) if about.results else ("", {})
    bicubic = _scores(about.bicubic, options.scale)[1] if about.bicubic else {}
    target = folder / f"{name}.safetensors"
    save_model(target, read_state(source), released(info))
    entry = replace(
        _described(name, target, info, options, about),
        protocol=protocol,
        scores=scores,
        bicubic=bicubic,
    )
    entry = pack(entry, folder, about.measure)
    models = tuple(sorted((*(one for one in present if one.name != name), entry), key=lambda one: (one.scale, one.name)))
    write_atomic(folder / f"{name}.md", card(entry).encode())
    write_atomic(folder / "README.md", (README + table(models) + "\n").encode())
    write_index(folder, models)
    return entry


def _described(name: str, file: Path, info: ModelInfo, options: Options, about: About) -> ZooModel:
    cost = complexity(options)
    kind = describe(options, HowToRun("cpu", None, False, None))
    data = about.data or _training_set(options)
    known = find_card(data)
    return ZooModel(
        name=name,
        file=file.name,
        bytes=file.stat().st_size,
        sha256=digest(file),
        scale=options.scale,
        label=kind["label"],
        backbone=f"{options.network_g.type}, {kind['size']}",
        w_bits=kind["w_bits"],
        a_bits=kind["a_bits"],
        iterations=info.iteration,
        weights="averaged" if info.weights == "ema" else "raw",
        data=data,
        licence=known.licence if known else "",
        parameters=cost.parameters,
        params_k=round(cost.params_k, 2),
        ops_g=round(cost.ops_g, 3),
        recipe=(*_recipe(options), *about.recipe),
        note=about.note,
        made=datetime.now(UTC).date().isoformat(),
        versions=dict(info.versions),
    )


def _training_set(options: Options) -> str:
    """The name of the training section, or the dataset card whose name its folder carries, or the folder's name."""
    section = options.datasets.get("train")
    if section is None:
        return ""
    parts = PurePosixPath(section.dataroot_gt).parts
    known = next((found.name for part in reversed(parts) if (found := find_card(part))), None)
    return known or section.name or (parts[-1] if parts else "")


def _recipe(options: Options) -> list[str]:
    """What the options say about training, in words."""
    train, section = options.train, options.datasets.get("train")
    lines = [f"option file `{options.name}`, seed {options.manual_seed}"]
    if section is not None:
        lines.append(f"batches of {section.batch_size_per_gpu}, HR patches of {section.gt_size}")
    if train is not None:
        lines.append(f"{train.optim_g.type} at learning rate {train.optim_g.lr:g}, {train.total_iter:,} iterations")
    if options.quant is not None:
        start = options.path.pretrain_network_g
        lines.append(f"quantized by {options.quant.method}" + (", from a full-precision network" if start else ""))
    return lines


def _scores(file: Path, scale: int, model_hash: str | None = None) -> tuple[str, Scores]:
    """(protocol, set -> scores) of one scale. `model_hash`: of the file that has to have been measured."""
    try:
        data = read_json(file)
        rows = [row for row in data["rows"] if row["scale"] == scale and row["psnr_y"] is not None]
        found = {row["dataset"]: {"psnr_y": float(row["psnr_y"]), "ssim_y": float(row["ssim_y"])} for row in rows}
        protocol, measured = str(data["protocol"]), data.get("model_hash")
    except OSError as fault:
        raise DataError(f"no results: {fault.strerror}", where=str(file), hint="qsr test writes them") from fault
    except (KeyError, TypeError, ValueError) as fault:
        raise FormatError(f"not what qsr test writes: {fault!r}", where=str(file)) from fault
    if model_hash is not None and measured != model_hash:
        raise FormatError(
            f"measured on a file of hash {measured}, this model's is {model_hash}",
            where=str(file),
            hint="run qsr test on it again",
        )
    return protocol, found


def released(info: ModelInfo) -> ModelInfo:
    """The metadata without the folders of this machine: of every absolute path the last part stays."""
    return replace(info, options=_portable(info.options), extra=_portable(info.extra))


def _portable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _portable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(one) for one in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return PurePosixPath(value.replace("\\", "/")).name
    return value
