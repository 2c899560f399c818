"""One run in progress: what the loop needs besides the arithmetic of a step - entering stages, validating, saving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from qsr.archs import depth
from qsr.archs.convert import write_basicsr
from qsr.archs.modelfile import save_model
from qsr.data.training import Loader
from qsr.errors import EnvironmentFault, FormatError, NumericalError
from qsr.evaluate.benchmark import SetResult
from qsr.files import write_atomic
from qsr.options.schema import Options
from qsr.quant import LayerReport
from qsr.train import checkpoint, finite, state
from qsr.train.board import Board
from qsr.train.distributed import Team
from qsr.train.journal import Journal
from qsr.train.progress import Progress
from qsr.train.signals import StopRequest
from qsr.train.stages import Stage
from qsr.train.state import Position
from qsr.train.trainee import Trainee, make
from qsr.train.validate import Interrupted, Validator, mean_psnr


@dataclass
class Job:
    """Everything of a run. `calibration` gives the same batches on every rank; `unsaved` is why the last save failed."""

    options: Options
    folder: Path
    team: Team
    stages: tuple[Stage, ...]
    loader: Loader
    calibration: Loader
    validator: Validator
    journal: Journal
    progress: Progress
    stop: StopRequest
    board: Board | None = None
    position: Position = field(default_factory=Position)
    stopping: bool = False
    unsaved: EnvironmentFault | None = None
    _trainee: Trainee | None = None
    _dirty: bool = False

    @property
    def trainee(self) -> Trainee:
        assert self._trainee is not None, "no stage has been entered"
        return self._trainee

    # --- stages ---
    def stages_left(self) -> list[Stage]:
        """From the stage that a checkpoint was written in, or all of them."""
        names = [stage.name for stage in self.stages]
        if self.position.stage not in ("", *names):
            raise FormatError(f"the checkpoint's stage {self.position.stage!r} is not one of {', '.join(names)}")
        return list(self.stages[names.index(self.position.stage) if self.position.stage else 0 :])

    def resume(self, folder: Path, rewinds: int | None = None) -> None:
        """Take over position and state from a verified checkpoint, and its rows; `rewinds`: in place of its own count."""
        facts = state.read_facts(folder)
        self.position = state.position_of(facts)
        if rewinds is not None:
            self.position.rewinds = rewinds
        self._dirty = False
        self.loader.reorder(self.options.manual_seed + (self.position.rewinds << 32))  # no seed of an option file is above 2^32
        stage = self.stages_left()[0]
        self._trainee = make(*stage.build(), stage, self.team.device)
        state.restore(folder, self.trainee, self.team)
        self.journal.rewind(self.position.iteration)
        self.journal.say(f"resumed {folder} at iteration {self.position.iteration:,} ({stage.name})")
        if facts["world"] != self.team.world:
            self.journal.say(
                f"written by {facts['world']} processes, resumed by {self.team.world}: the batch changes with them, "
                "the run is no longer bit-exact",
                "WARNING",
            )

    def enter(self, stage: Stage) -> None:
        """Make `stage` the current one; a no-op where resume has restored into it."""
        if stage.name == self.position.stage:
            return
        if not stage.continues:
            self._trainee = make(*self._first_network(stage), stage, self.team.device)
            if self.trainee.report.quantized:
                self.journal.say(self.trainee.report.table())
        if stage.freeze is not None:
            depth.freeze_order(self.trainee.network, stage.freeze, next(self._pictures()))
        if not stage.continues:
            # equal by construction where all machines compute alike; this makes sure
            self.team.copy_from_main_(list(self.trainee.network.state_dict().values()))
            if self.trainee.ema is not None:
                self.trainee.ema.load(self.trainee.network.state_dict())
        if self.position.stage != "" and not stage.continues:
            self.position.best = None  # another network: its numbers are no longer to be beaten
        self.position.stage = stage.name
        self.journal.say(f"stage: {stage.name}, iterations {stage.first + 1:,} to {stage.last:,}")
        self.progress.restart_clock()

    def _first_network(self, stage: Stage) -> tuple[nn.Module, LayerReport]:
        if self._trainee is None:
            return stage.begin(None, self._pictures(), self.team.device)
        with self._trainee.averaged() as before:
            return stage.begin(before, self._pictures(), self.team.device)

    def _pictures(self) -> Iterator[Tensor]:
        step = 0
        while True:
            yield self.calibration.batch(step).lq.to(self.team.device)
            step += 1

    def stepped(self, iteration: int) -> None:
        self.position.iteration = iteration
        self._dirty = True

    # --- validation ---
    def validation_due(self, stage: Stage) -> bool:
        """At val_freq and at the end of a stage, unless done already or the run is to stop (a resumed run catches up)."""
        here, every = self.position.iteration, self.options.val.val_freq
        due = here == stage.last or (every is not None and here > 0 and here % every == 0)
        return due and bool(self.validator.sets) and self.position.validated != here and not self.stopping

    def validate(self, stage: Stage) -> None:
        """Score all validation sets with the averaged weights; log, remember the best, write crops."""
        here, every = self.position.iteration, self.options.val.crops_every
        pictures = self.folder / "visualization"
        with_crops = every > 0 and self.position.validations % every == 0 and self.team.is_main
        with self.trainee.averaged() as network:
            try:
                place = pictures / f"{here:08d}"
                results = self.validator.scores(network, self.team, place, lambda: self.stop.name is not None)
            except Interrupted:
                self.stopping = True
                return
            strips = self.validator.crops(network, self.team, pictures, here) if with_crops else []
            if self.board is not None:
                self.board.quantizers(here, network, next(self._pictures())[:1])
        best = self._remember(results)
        self._log_validation(results, best)
        for name, picture in strips:
            if self.board is not None:
                self.board.picture(here, name, picture)
        if best and self.team.is_main:
            self._write_model("net_g_best", stage)
        self.progress.validated(mean_psnr(results))
        self.progress.restart_clock()

    def _remember(self, results: list[SetResult]) -> bool:
        """Note the results; True if they are the best of this network."""
        mean = mean_psnr(results)
        better = self.position.best is None or mean > self.position.best["psnr_y"]
        if better:
            sets = {row.dataset: [row.psnr_y, row.ssim_y] for row in results}
            protocol = self.validator.protocol.name
            self.position.best = {"iteration": self.position.iteration, "psnr_y": mean, "protocol": protocol, "sets": sets}
        self.position.validated = self.position.iteration
        self.position.validations += 1
        self.position.results = [row.to_json() for row in results]
        self._dirty = True
        return better

    def _log_validation(self, results: list[SetResult], best: bool) -> None:
        top = self.position.best or {}
        for row in results:
            high = top["sets"][row.dataset]
            self.journal.say(
                f"validation {row.dataset}: PSNR {row.psnr_y:.4f} dB, SSIM {row.ssim_y:.4f}   "
                f"(best {high[0]:.4f} / {high[1]:.4f} at {top['iteration']:,}){' *' if best else ''}"
            )
        values = {row.dataset: {"psnr_y": row.psnr_y, "ssim_y": row.ssim_y} for row in results}
        facts = {"validation": values, "protocol": self.validator.protocol.name, "best": best}
        self.journal.row(self.position.iteration, facts)
        if self.board is not None:
            for name, scores in values.items():
                self.board.scalars(self.position.iteration, scores, group=f"val/{name}")

    # --- saving ---
    def save_due(self, stage: Stage) -> bool:
        here, every = self.position.iteration, self.options.logger.save_checkpoint_freq
        return self._dirty and here > 0 and (self.stopping or here == stage.last or here % every == 0)

    def save(self, stage: Stage) -> None:
        """Write a checkpoint and the latest model. A disk that refuses is an error line; the next interval tries again."""
        generators = state.random_state(self.team)
        if not finite.all_finite(list(self.trainee.network.state_dict().values())):
            raise NumericalError(
                f"a weight is NaN or Inf at iteration {self.position.iteration}; not saved",
                where=str(self.folder),
                hint="set train.nan_check_freq: 1 to learn where it came from; --auto_resume goes back to the last good state",
            )
        self._dirty = False
        if self.team.is_main:
            try:
                self._write(stage, generators)
                self.unsaved = None
            except EnvironmentFault as fault:
                self.unsaved = fault
                self.journal.say(f"checkpoint NOT saved at iteration {self.position.iteration:,}: {fault}", "ERROR")
        self.progress.restart_clock()

    def _write(self, stage: Stage, generators: dict[str, Tensor]) -> None:
        fill = partial(
            state.write_files,
            trainee=self.trainee,
            stage=stage,
            position=self.position,
            options=self.options,
            generators=generators,
        )
        logger, here = self.options.logger, self.position.iteration
        written = checkpoint.write(self.folder / "checkpoints", here, fill, logger.keep_checkpoints)
        model = (written / "model.safetensors").read_bytes()
        write_atomic(self.folder / "models" / "net_g_latest.safetensors", model)
        if here == stage.last and stage is not self.stages[-1]:
            write_atomic(self.folder / "models" / f"net_g_{stage.name.replace(' ', '_')}.safetensors", model)
        if logger.save_basicsr:
            average = self.trainee.shipped_state() if self.trainee.ema else None
            write_basicsr(self.folder / "models" / f"net_g_{here}.pth", self.trainee.network, average)

    def _write_model(self, name: str, stage: Stage) -> None:
        info = state.model_info(self.trainee, stage, self.position)
        try:
            save_model(self.folder / "models" / f"{name}.safetensors", self.trainee.shipped_state(), info)
        except EnvironmentFault as fault:
            self.journal.say(str(fault), "ERROR")

    def finish_saving(self) -> None:
        """Raises EnvironmentFault if the last save did not succeed: what was trained since is not on the disk."""
        if self.unsaved is not None:
            raise EnvironmentFault(f"the last checkpoint could not be saved: {self.unsaved}")
