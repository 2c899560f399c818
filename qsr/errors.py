"""The errors a user can meet, each with the exit code that scripts rely on.

Every message has up to four parts: what was found, what was expected, where (file:line, key, layer)
and what to do. `str(error)` is what the command line prints; a traceback is shown only with --debug.

Exit codes: 0 done, 1 a bug in qsr, 2 bad options or arguments, 3 bad input file, 4 numerical failure
(NaN or Inf), 5 stopped on request with everything saved, 6 the machine said no (missing package, disk
full, experiment in use).

>>> str(DataError("not an image", where="photos/a.png", hint="remove it"))
'photos/a.png: not an image (remove it)'
"""

from __future__ import annotations


class QsrError(Exception):
    """Base of every error that is the user's to mend. `exit_code` is the process's exit status."""

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.message = message
        self.where = where
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return _printable(f"{text} ({self.hint})" if self.hint else text)


def _printable(text: str) -> str:
    r"""Names and values come from files and folders of strangers: what a terminal would obey or cannot show is escaped.

    >>> _printable("a\x1b[2J\nb")
    'a\\x1b[2J\nb'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class OptionsError(QsrError):
    """An option file, an override or an argument is wrong. `problems` holds one line per fault."""

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        problems: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.problems = problems

    def __str__(self) -> str:
        head = super().__str__()
        return "\n".join((head, *(f"  {_printable(line)}" for line in self.problems)))


class DataError(QsrError):
    """A picture, a folder or a database cannot be used."""

    exit_code = 3


class FormatError(QsrError):
    """A checkpoint or model file is damaged, foreign or from a version this one cannot read."""

    exit_code = 3


class NumericalError(QsrError):
    """NaN or Inf appeared in training."""

    exit_code = 4


class StoppedOnRequest(QsrError):
    """A signal asked the run to stop; everything is saved and `--auto_resume` continues it."""

    exit_code = 5


class EnvironmentFault(QsrError):
    """The machine said no: a missing package, a full disk, no permission, a device that is absent."""

    exit_code = 6


class OutOfMemory(EnvironmentFault):
    """The memory for a run is not there; smaller tiles may do with what is."""


class ExperimentBusy(EnvironmentFault):
    """Another live process is writing to the same experiment folder."""
