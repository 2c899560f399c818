"""What `qsr doctor` looks at, in the order of its lines. A new check is a function in a file of its group, and a line here."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from qsr.doctor.check import Check
from qsr.errors import OptionsError

CHECKS: tuple[Check, ...] = (
    Check("python", "version of Python", "qsr.doctor.installation:check_python"),
    Check("files", "qsr's own files are those that were installed", "qsr.doctor.installation:check_files"),
    Check("packages", "what qsr requires is there and new enough", "qsr.doctor.installation:check_packages"),
    Check("torch", "torch imports, is new enough, works with this numpy", "qsr.doctor.training:check_torch", ("torch",), 120.0),
    Check("train", "the other packages of the extra `train` import", "qsr.doctor.training:check_packages", seconds=120.0),
    Check("tensorboard", "not overwritten by tb-nightly", "qsr.doctor.training:check_tensorboard", ("torch",)),
    Check("basicsr", "imports beside this torchvision", "qsr.doctor.training:check_basicsr", ("torch",), 120.0),
    Check("threads", "threads against the processors that may be used", "qsr.doctor.machine:check_threads"),
    Check("memory", "free memory; shared memory", "qsr.doctor.machine:check_memory"),
    Check("gpu", "a product and a deterministic step, if there is one", "qsr.doctor.gpu:check_gpu", ("torch",), 120.0),
    Check("isa", "instruction sets of this processor", "qsr.doctor.kernels:check_isa"),
    Check("backend", "which kernels compute, and why", "qsr.doctor.kernels:check_backend"),
    Check("convolutions", "every kernel against exact sums, on random codes", "qsr.doctor.kernels:check_convolutions"),
    Check("attention", "Swin layers against the numpy interpreter", "qsr.doctor.attention:check_attention"),
    Check("packing", "codes of 1 to 8 bits to bytes and back", "qsr.doctor.kernels:check_packing"),
    Check("metrics", "PSNR and SSIM against golden values", "qsr.doctor.pictures:check_metrics", ("cv2",)),
    Check("resize", "bicubic resize against golden bytes of MATLAB's", "qsr.doctor.pictures:check_resize"),
    Check("decoder", "truncated and altered pictures are refused", "qsr.doctor.pictures:check_decoder"),
    Check("packed", "damaged packed files are refused", "qsr.doctor.released:check_refusals"),
    Check("released", "released networks give the bytes that they should", "qsr.doctor.released:check_released"),
    Check("disk", "free space, speed, and whether fsync waits", "qsr.doctor.storage:check_disk", in_folder=True),
    Check("locks", "one writer per experiment", "qsr.doctor.storage:check_locks", in_folder=True),
    Check(
        "resume",
        "a training killed three times ends with the bits of one left alone",
        "qsr.doctor.resume:check_resume",
        ("torch", "pydantic", "cv2"),
        seconds=300.0,
        in_folder=True,
        alone=True,
        slow=True,
    ),
)


def select(only: Sequence[str] = (), quick: bool = False, checks: tuple[Check, ...] = CHECKS) -> tuple[Check, ...]:
    """The checks called `only` (all where there are none), in the order above; quick: without the slow ones.

    Raises OptionsError for a name that is none of them.
    """
    names = [check.name for check in checks]
    for name in only:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
            raise OptionsError(f"no check {name!r}", where="--only", hint=hint)
    # what is asked for by name runs, however slow
    return tuple(check for check in checks if (check.name in only if only else not (quick and check.slow)))
