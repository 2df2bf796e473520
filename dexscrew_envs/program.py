"""How every program ends: one path from a signal, the parent's end, a failed thread or an error to an exit status.

`run` carries out a program's body. Whatever ends it is raised in the main thread as an exception, so that `finally`
blocks and context managers lead to the safe state: arm stopped, hand held, last good checkpoint kept. The user gets one
sentence, and scripts one of the statuses of `Status`, or 128 + n for signal n, as shells count them.

The hand server runs where little is installed, so this module needs no more than Python 3.10.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from types import FrameType, TracebackType
from typing import Any, TextIO, TypeVar

from dexscrew_envs import siblings
from dexscrew_envs.extras import EXTRAS, missing


class Status(IntEnum):
    """Exit statuses besides 128 + n; README.md lists them."""

    DONE = 0
    """What was asked for is complete."""
    FAILED = 1
    """The program itself is at fault; there is a traceback."""
    REFUSED = 2
    """An argument, a file or the installation is wrong; nothing was begun."""
    STOPPED = 3
    """The robot was stopped or is not ready, or a check failed."""
    CUT_SHORT = 4
    """The work could not go on, as when the disk is full; what was done is kept."""


class Ended(KeyboardInterrupt):
    """The program is told to end; raised in its main thread.

    It is a KeyboardInterrupt, so that code which tidies up after Ctrl-C does so after every other signal.

    Args:
        reason: a sentence for the user.
        status: exit status.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class CutShort(RuntimeError):
    """The work could not go on; the message says why, and what was kept."""

    exit_status = Status.CUT_SHORT


_NAMES = (
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF",
    "SIGXCPU", "SIGTRAP", "SIGSYS", "SIGIO", "SIGPWR", "SIGSTKFLT", "SIGBREAK",
)  # fmt: skip
_REAL_TIME = range(signal.SIGRTMIN, signal.SIGRTMAX + 1) if hasattr(signal, "SIGRTMIN") else range(0)
ENDING_SIGNALS: tuple[int, ...] = (*(int(getattr(signal, n)) for n in _NAMES if hasattr(signal, n)), *_REAL_TIME)
"""Every signal whose default is to end the process and that a program can answer."""

_PROCESS, _PARENT = os.getpid(), os.getppid()  # as early as possible: a parent may end while all else is imported
_REPEAT = 10.0  # a signal within this time of the first is the same wish told twice, as by terminal and launcher (s)
_PARENT_PERIOD = 0.02  # how often a parent is looked for (s)
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Numbers of the errors of a disk that is full or fails."""

_Args = TypeVar("_Args")


def main(
    module: str,
    args_type: type[_Args],
    body: Callable[[_Args], int],
    argv: Sequence[str] | None,
    doc: str | None,
    *,
    follow_parent: bool = False,
) -> int:
    """Read a command line into a dataclass, run a program's body with it, and return the exit status.

    Args:
        module: name of the module, as after `python -m`.
        args_type: the dataclass; its docstrings are the help.
        body: does the work; returns an exit status.
        argv: the arguments; None takes the process's.
        doc: what the program does.
        follow_parent: see `run`.

    Raises:
        SystemExit: the arguments cannot be read (status 2), or help was asked for (status 0).
    """

    def whole() -> int:
        import tyro

        return body(tyro.cli(args_type, args=argv, description=doc, prog=f"python -m {module}"))

    return run(whole, follow_parent=follow_parent)


def run(body: Callable[[], int | None], *, follow_parent: bool = False) -> int:
    """Run a program's body and return the exit status, however it ends.

    Args:
        body: does the work, and tidies up in `finally`; returns an exit status, None meaning 0.
        follow_parent: whether the program ends with the process that started it. One that moves a robot does, since
            nobody else watches over it. A training goes on when its shell is gone, as one expects of it.
    """
    with _safe_output(), _told_to_end(follow_parent):
        try:
            status = int(body() or 0)
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a failure has a sentence
        except BaseException as error:
            if (interruption := interruption_of(error)) is not None:
                if hasattr(error, "exit_status"):  # what went wrong while it tidied up, such as a full disk
                    say(f"error: {error}")
                say(str(interruption))
                status = interruption.status
            elif isinstance(error, Exception):
                status = explain(error)
            else:
                raise
        _settle_output()
    return status


def interruption_of(error: BaseException) -> Ended | None:
    """Return how the program was told to end, if it was: libraries raise exceptions of their own in the place of ours.

    Args:
        error: what arrived where it is asked.
    """
    if isinstance(error, Ended):
        return error
    if _running is not None and _running.raised is not None:
        return _running.raised
    return Ended("interrupted", 128 + signal.SIGINT) if isinstance(error, KeyboardInterrupt) else None


def say(sentence: str) -> None:
    """Tell the user something on standard error, if that can still be written."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(sentence, file=sys.stderr, flush=True)


def explain(error: BaseException) -> int:
    """Tell the user about an error; return the exit status."""
    if isinstance(error, BrokenPipeError) and error.filename is None:  # as after `| head`: nobody reads on
        return 128 + int(getattr(signal, "SIGPIPE", 13))
    sentence, status = _describe(error)
    if status is Status.FAILED:
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                traceback.print_exception(error)
        sentence = f"{sentence}; this is a fault of the program, please report it with the lines above"
    say(f"error: {sentence}")
    return int(status)


def _describe(error: BaseException) -> tuple[str, int]:
    """Return a sentence about an error, and the exit status that it leads to."""
    text = str(error) or type(error).__name__
    declared = getattr(error, "exit_status", None)
    if declared is not None:
        return text, declared
    if isinstance(error, ImportError) and (hidden := siblings.explained(error)) is not None:
        return hidden, Status.REFUSED
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] in EXTRAS:
        return missing(error.name), Status.REFUSED
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        where = error.filename or "the output"
        return f"cannot write {where}: {error.strerror}; free some space and give the same command", Status.CUT_SHORT
    if isinstance(error, (ValueError, TypeError, OSError, ImportError)) or _is_dependency(error):
        return text, Status.REFUSED
    return f"{type(error).__name__}: {text}", Status.FAILED


def _is_dependency(error: BaseException) -> bool:
    gymnasium = sys.modules.get("gymnasium")
    return gymnasium is not None and isinstance(error, gymnasium.error.DependencyNotInstalled)


# -- told to end ------------------------------------------------------------------------------------------------------


class _Ending:
    """Turns signals, and what other threads find, into `Ended` in the main thread."""

    def __init__(self) -> None:
        self.raised: Ended | None = None
        self._first: float | None = None
        self._told: tuple[str, int] | None = None
        self._over = threading.Event()
        self._old: dict[int, Any] = {}

    def install(self) -> None:
        for number in ENDING_SIGNALS:
            old = signal.getsignal(number)
            if number == getattr(signal, "SIGHUP", None) and old is signal.SIG_IGN:
                continue  # nohup
            if old in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler):
                with contextlib.suppress(OSError, ValueError):  # the C library keeps some for itself
                    signal.signal(number, self._handle)
                    self._old[number] = old

    def restore(self) -> None:
        self._over.set()
        for number, old in self._old.items():
            signal.signal(number, old)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is not None and now - self._first < _REPEAT:
            return
        self._first = now
        self.raised = Ended(*(self._told or (f"ended by {_signal_name(number)}", 128 + number)))
        raise self.raised

    def tell(self, reason: str, status: int) -> None:
        """End the program from another thread."""
        if not self._over.is_set() and self._told is None:
            self._told = (reason, status)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def thread_failed(self, arguments: Any) -> None:
        """Take the place of `threading.excepthook`: a program does not go on without one of its threads."""
        error = arguments.exc_value
        if error is None or isinstance(error, SystemExit):
            return
        sentence, status = _describe(error)
        if status is Status.FAILED:
            with contextlib.suppress(OSError, ValueError):
                traceback.print_exception(error)
        name = arguments.thread.name if arguments.thread is not None else "?"
        self.tell(f"error: {sentence} (in the thread {name!r})", int(status))

    def unraisable(self, arguments: Any) -> None:
        """Take the place of `sys.unraisablehook`: an `Ended` that a finaliser swallowed is told again."""
        if isinstance(arguments.exc_value, Ended):
            self._first = None
            self._told = (str(arguments.exc_value), arguments.exc_value.status)
            main_thread = threading.main_thread().ident or 0
            threading.Timer(0.01, signal.pthread_kill, (main_thread, signal.SIGTERM)).start()
        else:
            sys.__unraisablehook__(arguments)

    def follow_parent(self) -> None:
        """Watch whether the process that started this one is there."""
        parent = _PARENT if os.getpid() == _PROCESS else os.getppid()

        def watch() -> None:
            while not self._over.wait(_PARENT_PERIOD):
                if os.getppid() != parent:
                    return self.tell("ended, since the process that started this one is gone", 128 + signal.SIGHUP)

        threading.Thread(target=watch, name="parent", daemon=True).start()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def _told_to_end(follow_parent: bool) -> Iterator[None]:
    """Raise `Ended` in the main thread when the program is to end; elsewhere, or within another `run`, do nothing."""
    global _running
    if threading.current_thread() is not threading.main_thread() or _running is not None:
        yield
        return
    ending = _Ending()
    hooks = threading.excepthook, sys.unraisablehook
    ending.install()
    threading.excepthook, sys.unraisablehook = ending.thread_failed, ending.unraisable
    _running = ending
    if follow_parent:
        ending.follow_parent()
    try:
        yield
    finally:
        _running = None
        threading.excepthook, sys.unraisablehook = hooks
        ending.restore()


_running: _Ending | None = None


def take_signals_back() -> None:
    """Answer signals again after a library took them for itself, as Ray does with SIGTERM."""
    ending = _running
    if ending is not None and threading.current_thread() is threading.main_thread():
        for number in ending._old:
            signal.signal(number, ending._handle)


def follow_parent() -> None:
    """End the running program with the process that started it, as of now; see `run`. Elsewhere it does nothing."""
    if _running is not None:
        _running.follow_parent()


def end(reason: str, status: int) -> None:
    """End the running program from any thread; does nothing where no program runs."""
    if _running is not None:
        _running.tell(reason, status)


# -- output -----------------------------------------------------------------------------------------------------------

_PLAIN = {"±": "+-", "–": "-", "—": "-", "…": "...", "×": "x", "²": "2", "°": " deg", "’": "'", "→": "->"}


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error("dexscrew-plain", _plain)


@contextlib.contextmanager
def _safe_output() -> Iterator[None]:
    """Let no sign that the terminal's encoding lacks lose a result."""
    changed = []
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and getattr(stream, "errors", None) in ("strict", "surrogateescape"):
            changed.append((stream, stream.errors))
            stream.reconfigure(errors="dexscrew-plain")
    try:
        yield
    finally:
        for stream, errors in changed:
            with contextlib.suppress(ValueError, OSError):
                stream.reconfigure(errors=errors)


class Unfailing:
    """A stream whose text may be lost, such as a bar's: a closed terminal or a full disk must not end the work."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if that is possible."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _settle_output() -> None:
    """Discard what cannot be written, or the interpreter would fail on it once more at its end, with a status of 120.

    Source: "Note on SIGPIPE" in the documentation of Python's signal module.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


# -- before a program's body ------------------------------------------------------------------------------------------


def guard_imports() -> None:
    """Explain what goes wrong while one of our modules is being imported as a program.

    A package's `__init__` calls it: `python -m` imports that before the module, whose own imports may fail.
    """
    if sys.argv[:1] == ["-m"] or siblings.runs_program() is not None:
        sys.excepthook = _last_resort


def _last_resort(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if (interruption := interruption_of(error)) is not None:
        say(str(interruption))
        raise SystemExit(interruption.status)
    raise SystemExit(explain(error))
