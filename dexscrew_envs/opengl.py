"""Which OpenGL MuJoCo draws with: one that works here, in any order of imports, or the reason why none does.

MuJoCo settles this once, by the variable MUJOCO_GL as it is when MuJoCo is first imported, and by default it needs a
display. The standard library is enough to import this module.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

HEADLESS = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}
"""OpenGL without a display, the best first, and its library."""
_PACKAGES = {"libEGL.so.1": "libegl1 libgl1", "libGL.so.1": "libgl1", "libOSMesa.so.8": "libosmesa6"}
"""Those of Debian and Ubuntu that hold a library."""
_WINDOWED = ("glfw", "glx")
_ANY = ("", "enable", "enabled", "on", "true", "1")
_NONE = ("disable", "disabled", "off", "false", "0")
_lock = threading.Lock()
_chosen = ""
"""What `prepare` chose for want of another wish."""


def prepare() -> None:
    """If MuJoCo is not imported yet, choose an OpenGL that works here; without one, MuJoCo can still be imported."""
    global _chosen
    if sys.platform != "linux" or "mujoco" in sys.modules:
        return
    wish = _wish()
    if wish == "" and "MUJOCO_GL" not in os.environ and not _display():
        _chosen = next(filter(_is_installed, HEADLESS), "")
        if _chosen:
            os.environ["MUJOCO_GL"] = _chosen
    elif wish not in (*HEADLESS, *_WINDOWED, *_ANY, *_NONE) or (wish in HEADLESS and not _is_installed(wish)):
        # It cannot even be imported with such a value, though the physics needs no OpenGL.
        original = os.environ["MUJOCO_GL"]
        os.environ["MUJOCO_GL"] = "disable"
        try:
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module("mujoco")
        finally:
            os.environ["MUJOCO_GL"] = original


def withdraw() -> None:
    """Take back what `prepare` chose, before the process becomes another program, which chooses for itself."""
    global _chosen
    if _chosen:
        del os.environ["MUJOCO_GL"]
        _chosen = ""


def check_window() -> None:
    """Look whether a window can be opened: MuJoCo's viewer ends the whole process where it cannot.

    Raises:
        gymnasium.error.DependencyNotInstalled: there is no display, or it has no OpenGL; the message says why.
    """
    if sys.platform != "linux":  # elsewhere a desktop is always there
        return
    try:
        glfw = _started_glfw()
        glfw.window_hint(glfw.VISIBLE, glfw.FALSE)
        window = _asked(lambda: glfw.create_window(64, 64, "", None, None), f"the display {_display()!r} has no OpenGL")
        glfw.destroy_window(window)
        glfw.default_window_hints()
    except RuntimeError as error:
        raise _not_installed(f"no window can be opened: {error}") from None


def make_renderer(model: Any, height: int, width: int) -> Any:
    """Return a `mujoco.Renderer` of this model for frames of this size in pixels.

    Raises:
        gymnasium.error.DependencyNotInstalled: there is no OpenGL to draw with; the message says why, and what helps.
    """
    import mujoco

    reasons = []
    for backend in _candidates():
        try:
            with _context_class(backend):
                return mujoco.Renderer(model, height, width)
        except Exception as error:  # each fails in its own way: ImportError, AttributeError, GLError, RuntimeError
            text = str(error).strip() or type(error).__name__
            number = os.environ.get("MUJOCO_EGL_DEVICE_ID")
            told = f" (MUJOCO_EGL_DEVICE_ID is {number!r})" if backend == "egl" and number else ""
            reasons.append((f"{backend}: " if backend else "") + text.splitlines()[0] + told)
    raise _no_opengl("; ".join(reasons))


def _no_opengl(reason: str) -> Exception:
    return _not_installed(f"there is no OpenGL to draw with: {reason}")


def _not_installed(sentence: str) -> Exception:
    import gymnasium

    return gymnasium.error.DependencyNotInstalled(sentence)


def _wish() -> str:
    return os.environ.get("MUJOCO_GL", "").strip().lower()


def _display() -> str:
    return os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or ""


def _is_installed(backend: str) -> bool:
    return _loads(HEADLESS[backend])


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _candidates() -> tuple[str, ...]:
    """Return what to try, in order; "" is MuJoCo's own choice.

    Raises:
        gymnasium.error.DependencyNotInstalled: the variable MUJOCO_GL rules out all.
    """
    if sys.platform != "linux":
        return ("",)
    wish = "" if _wish() == _chosen else _wish()
    if wish in HEADLESS:
        return (wish,)
    if wish in _WINDOWED:
        return ("glfw",)
    if wish in _ANY:
        headless = tuple(filter(_is_installed, HEADLESS)) or ("egl",)
        return (*(("glfw",) if _display() else ()), *headless)
    given = os.environ["MUJOCO_GL"]
    what = "switches drawing off" if wish in _NONE else "names none of egl, osmesa and glfw"
    raise _no_opengl(f"MUJOCO_GL={given!r} {what}; {_way_out()}")


def _way_out() -> str:
    """Say what to do where MUJOCO_GL asks for an OpenGL that does not work here."""
    installed = next(filter(_is_installed, HEADLESS), None)
    return f"unset MUJOCO_GL, or set it to {installed}" if installed else f"unset it, and {_install('libEGL.so.1')}"


def _install(library: str) -> str:
    return f"install {library} (on Debian or Ubuntu: apt-get install {_PACKAGES[library]})"


@contextlib.contextmanager
def _context_class(backend: str) -> Iterator[None]:
    """Let MuJoCo's renderer open its OpenGL contexts with this backend meanwhile.

    Raises:
        RuntimeError: it cannot work, and why.
    """
    if not backend:
        yield
        return
    from mujoco.rendering.classic import gl_context

    found = _glfw() if backend == "glfw" else _headless(backend)
    with _lock:
        before = getattr(gl_context, "GLContext", None)
        gl_context.GLContext = found
        try:
            yield
        finally:
            if before is None:
                del gl_context.GLContext
            else:
                gl_context.GLContext = before


def _glfw() -> type:
    try:
        _started_glfw()
    except RuntimeError as error:
        raise RuntimeError(f"{error}; {_way_out()}") from None
    return importlib.import_module("mujoco.glfw").GLContext


def _started_glfw() -> Any:
    """Return the module `glfw`, which has found the display.

    Raises:
        RuntimeError: there is no display, or it does not answer.
    """
    if not _display():
        raise RuntimeError("it needs a display, and DISPLAY is not set")
    import glfw

    _asked(glfw.init, f"the display {_display()!r} does not answer")
    return glfw


def _asked(call: Callable[[], Any], failure: str) -> Any:
    """Return what a function of GLFW returns, or raise RuntimeError with its reason, which it gives as a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    if not result:
        raise RuntimeError(failure + (f" ({caught[-1].message})" if caught else ""))
    return result


def _headless(backend: str) -> type:
    library = HEADLESS[backend]
    if not _loads(library):
        others = [f", or set MUJOCO_GL={name}" for name in HEADLESS if _is_installed(name)]
        raise RuntimeError(f"{library} is missing; {_install(library)}{''.join(others)}")
    if backend == "egl" and not (_loads("libGL.so.1") or _loads("libOpenGL.so.0")):
        raise RuntimeError(f"it needs libGL.so.1, which is missing; {_install('libGL.so.1')}")
    platform = os.environ.get("PYOPENGL_PLATFORM")
    if platform and platform.lower() != backend:
        raise RuntimeError(f"PYOPENGL_PLATFORM={platform!r} keeps PyOpenGL from it; unset that, or set it to {backend}")
    try:
        return importlib.import_module(f"mujoco.{backend}").GLContext
    except Exception:
        if platform is None:
            os.environ.pop("PYOPENGL_PLATFORM", None)  # set in the attempt
        raise
