"""Are pictures measured, resized and decoded as they should be?"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qsr.doctor.check import Finding, fail, ok

if TYPE_CHECKING:
    import numpy as np

REINSTALL = "do not publish numbers from here; reinstall numpy and qsr"


def check_metrics() -> Finding:
    from qsr.evaluate.golden import check, pairs, protocols

    problems = check()
    count = 2 * len(pairs()) * len(protocols())
    if problems:
        return fail(f"{len(problems)} of {count} values differ; {problems[0]}", REINSTALL, problems=problems)
    return ok(f"{count} values of PSNR and SSIM are the golden ones")


def check_resize() -> Finding:
    """By numpy, and by numba where it is installed: both have to give the same bytes."""
    from qsr.data.golden_resize import check, measure
    from qsr.data.resize import Backend
    from qsr.doctor.worker import installed

    backends: list[Backend] = ["numpy", "numba"] if installed("numba") else ["numpy"]
    problems, count = check(backends), len(measure())
    if problems:
        return fail(f"{len(problems)} of {count * len(backends)} pictures differ; {problems[0]}", REINSTALL, problems=problems)
    return ok(f"{count} pictures resized by {' and '.join(backends)} are MATLAB's, byte for byte")


def check_decoder() -> Finding:
    """Whole files decode to their pixels; the same files cut short or altered are refused."""
    import numpy as np

    from qsr.data.image import decode, to_rgb8
    from qsr.errors import DataError

    damaged = 0
    for kind, content, pixels in samples():
        found = to_rgb8(decode(content, f"a whole {kind}"))
        if pixels is not None and not np.array_equal(found, pixels):
            return fail(f"a whole {kind} decodes to other pixels than were encoded", "reinstall pillow and opencv-python")
        for how, altered in damages(kind, content):
            damaged += 1
            try:
                decode(altered, f"a {kind} {how}")
            except DataError:
                continue
            return fail(
                f"a {kind} {how} is decoded as if it were whole", "reinstall pillow and qsr; check data with another machine"
            )
    return ok(f"{damaged} damaged pictures are refused, whole ones decode to their pixels")


def samples() -> Iterator[tuple[str, bytes, np.ndarray | None]]:
    """(kind, file, pixels (h, w, 3) uint8 that come out; None where the format loses some)."""
    import numpy as np
    from PIL import Image, features

    from qsr.doctor.worker import installed

    rows, columns, channels = np.indices((40, 56, 3))
    picture = ((rows * 5 + columns * 3 + channels * 40 + (rows * columns) % 7 * 9) % 256).astype(np.uint8)

    def encode(image: Image.Image, name: str, **how: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, name, **how)
        return buffer.getvalue()

    yield "PNG", encode(Image.fromarray(picture), "PNG"), picture
    yield "JPEG", encode(Image.fromarray(picture), "JPEG", quality=90), None
    if features.check("webp"):
        yield "WebP", encode(Image.fromarray(picture), "WEBP", lossless=True), picture
    if installed("cv2"):  # 16 bits are decoded by OpenCV
        deep = Image.fromarray(picture[:, :, 0].astype(np.uint16) * 257)
        yield "16-bit PNG", encode(deep, "PNG"), np.repeat(picture[:, :, :1], 3, axis=2)


def damages(kind: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """(how, file). A JPEG has no checksum: of altered bytes inside it nobody can know."""
    for share in (0.3, 0.6, 0.9):
        yield f"cut to {share:.0%}", content[: int(len(content) * share)]
    yield "without its last byte", content[:-1]
    middle = len(content) // 2
    if kind == "JPEG":
        # a download that broke off, into a file that was made as long as it should become
        yield "that ends in zeros", content[:middle] + bytes(len(content) - middle)
    if kind.endswith("PNG"):
        yield "with one altered bit", _flipped(content, middle)
        # in front of the last chunk, IEND, of 12 bytes; of the pixels' chunk
        yield "with a wrong checksum", _flipped(content, len(content) - 13)


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]
