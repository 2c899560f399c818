"""What a run does after NaN or Inf (`train.nan_policy`): end, pass over the batch, or go back and take other data.

Both ways on are bounded: a training that diverges again and again has to be looked at. Both counts are in the checkpoint
(state.Position) and the loop knows nothing else of what has happened, so a run that is killed in between and resumed does
what it would have done undisturbed.
"""

from __future__ import annotations

from pathlib import Path

from qsr.errors import NumericalError
from qsr.train import checkpoint, finite, state
from qsr.train.job import Job
from qsr.train.stages import train_section

MOST_SKIPPED = 10
"""Batches that one run passes over."""
MOST_REWINDS = 3
"""How often one run goes back; each time costs up to logger.save_checkpoint_freq iterations."""


def skip(job: Job, fault: NumericalError) -> None:
    """Pass over the batch that gave `fault`: no step is taken, the iteration counts as done.

    Raises `fault` unless the policy is `skip`, and where that cannot help: a weight or a quantizer's state is not finite
    itself, or MOST_SKIPPED batches are gone already. A collective: every rank calls it.
    """
    if train_section(job.options).nan_policy != "skip":
        raise fault
    # a forward pass may write statistics; those of one rank are not the others'
    if not all(job.team.gather(finite.all_finite(list(job.trainee.network.state_dict().values())))):
        raise fault
    if job.position.skipped == MOST_SKIPPED:
        raise _bounded(fault, f"{MOST_SKIPPED} batches have been passed over already")
    job.position.skipped += 1
    job.journal.say(f"batch passed over ({job.position.skipped} of {MOST_SKIPPED}): {fault.message}", "WARNING")


def rewind(job: Job, fault: NumericalError) -> None:
    """Go back to the newest checkpoint; from there on the samples come in another order, with other crops.

    Raises `fault` unless the policy is `rewind`, and where there is no checkpoint yet or it went back MOST_REWINDS times
    already. A collective: every rank calls it.
    """
    if train_section(job.options).nan_policy != "rewind":
        raise fault
    if job.position.rewinds == MOST_REWINDS:
        raise _bounded(fault, f"went back {MOST_REWINDS} times already")
    found = job.team.on_main(lambda: _newest(job))
    if found is None:
        raise _bounded(fault, "there is no checkpoint to go back to")
    rewinds = job.position.rewinds + 1
    job.journal.say(f"going back ({rewinds} of {MOST_REWINDS}): {fault.message}", "WARNING")
    job.resume(Path(found), rewinds)


def _newest(job: Job) -> str | None:
    found = checkpoint.newest(job.folder / "checkpoints", job.journal.say, state.check)
    return None if found is None else str(found)


def _bounded(fault: NumericalError, why: str) -> NumericalError:
    return NumericalError(f"{fault.message}; {why}", where=fault.where, hint=fault.hint)
