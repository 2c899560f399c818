"""From the command line to a running server: the network, the socket, and what is said about both."""

from __future__ import annotations

import importlib.util
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsr.errors import EnvironmentFault
from qsr.runtime.model import Model
from qsr.upscale.choose import find_model


@dataclass(frozen=True)
class Settings:
    """As the options of `qsr serve`; body in bytes."""

    model: str | None
    scale: int | None
    host: str
    port: int
    threads: int | None
    body: int
    pixels: int


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve until interrupted. Raises EnvironmentFault without the extra `serve` or where the address is taken."""
    for package in ("starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise EnvironmentFault(
                f"the package {package} is not installed", where="qsr serve", hint="pip install 'qsr[serve]'"
            )
    import uvicorn

    from qsr.runtime.model import load
    from qsr.serve.app import Limits, application
    from qsr.serve.protocol import configuration

    path = find_model(settings.model, settings.scale)
    model = load(path, threads=settings.threads)
    with _listening(settings.host, settings.port) as listener:
        port = listener.getsockname()[1]
        name = f"[{settings.host}]" if ":" in settings.host else settings.host
        say(f"http://{name}:{port}/   {path.name}; Ctrl-C ends")
        hosts = Limits().hosts | {name}
        if not is_loopback(settings.host):
            say(f"{settings.host} can be reached from other machines, without a password")
            hosts |= {socket.gethostname(), *_own_addresses()}
        limits = Limits(hosts=frozenset(map(str.lower, hosts)), body=settings.body, pixels=settings.pixels)
        app = application(model, describe(path, model), limits)
        uvicorn.Server(configuration(app)).run(sockets=[listener])


def describe(path: Path, model: Model) -> dict[str, Any]:
    """What /network says: plain values."""
    kernels = sorted({kernel.isa for kernel in model.kernels()})
    bits = sorted({kernel.bits for kernel in model.kernels() if kernel.bits != "float"}) or ["float"]
    return {"name": path.stem, "bits": " ".join(bits), "kernels": " ".join(kernels), "bytes": path.stat().st_size}


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(64)  # before the address is told: who calls at once waits, and is not turned away
    except OSError as fault:
        listener.close()
        raise EnvironmentFault(
            f"cannot listen: {fault.strerror}", where=f"{host}:{port}", hint="choose another --port"
        ) from fault
    return listener


def _own_addresses() -> set[str]:
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)}
    except OSError:  # a machine that does not know its own name: it is reached by the address given
        return set()
