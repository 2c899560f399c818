"""A benchmark as a person reads it: ours first, then the peers, then the layers."""

from __future__ import annotations

from qsr.bench.layers import LayerTime
from qsr.bench.run import OURS, Bench


def table(bench: Bench) -> str:
    """Plain text. `times`: how many times as long as ours, the median of the rounds' ratios."""
    width, height = bench.size
    head = (
        f"{bench.model}: {bench.file_bytes:,} bytes, x{bench.scale}, {bench.macs / 1e9:.1f} GMAC at {width}x{height}\n"
        f"{bench.cpu}, {counted(bench.threads)}, "
        f"{bench.timings[OURS].rounds} interleaved rounds\n"
    )
    names = max(len(name) for name in (*bench.timings, *bench.failed, "engine"))
    lines = [head, f"  {'engine':<{names}}   median ms       min       max   times"]
    for name, timing in bench.timings.items():
        lines.append(
            f"  {name:<{names}}  {timing.median:>10.1f}{timing.fastest:>10.1f}{timing.slowest:>10.1f}  {timing.ratio:>6.2f}"
        )
    lines += [f"  {name:<{names}}  failed: {why}" for name, why in bench.failed.items()]
    if bench.layers:
        lines += ["", layer_table(bench.layers)]
    return "\n".join(lines)


def sentence(bench: Bench) -> str:
    """One line: ours and, of every rival that ran, how many times as long it takes."""
    width, height = bench.size
    ours = f"{bench.timings[OURS].median:.1f} ms for {width}x{height} on {counted(bench.threads)}"
    rivals = [f"{name} {timing.ratio:.1f} times as long" for name, timing in bench.timings.items() if name != OURS]
    return "; ".join((ours, *rivals))


def counted(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def layer_table(layers: tuple[LayerTime, ...]) -> str:
    """One line per layer and a sum. core ms: all threads together; sums: inside the kernel, which GMAC/s and share are of."""
    names = max(len(layer.name) for layer in layers)
    kernels = max(len(layer.kernel) for layer in layers)
    lines = [f"  {'layer':<{names}}  {'kernel':<{kernels}}  bits      core ms    sums   GMAC    GMAC/s  share    MB"]
    for layer in layers:
        times = f"{1e3 * layer.seconds:>9.2f}{1e3 * layer.sums:>8.2f}{layer.macs / 1e9:>7.2f}"
        rate = f"{layer.rate / 1e9:>9.1f}" if layer.rate else f"{'-':>9}"
        share = f"{100 * layer.share:>5.0f}%" if layer.share else f"{'-':>6}"
        head = f"  {layer.name:<{names}}  {layer.kernel:<{kernels}}  {layer.bits:<6}"
        lines.append(f"{head}  {times} {rate} {share} {layer.bytes / 1e6:>5.1f}")
    total, sums, macs = (sum(getattr(layer, key) for layer in layers) for key in ("seconds", "sums", "macs"))
    lines.append(f"  {'all':<{names}}  {'':<{kernels}}  {'':<6}  {1e3 * total:>9.2f}{1e3 * sums:>8.2f}{macs / 1e9:>7.2f}")
    return "\n".join(lines)
