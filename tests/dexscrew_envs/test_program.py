"""How programs end, mostly in processes of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from dexscrew_envs import extras, program
from dexscrew_envs.program import ENDING_SIGNALS, CutShort, Ended, Status

ROOT = Path(__file__).parents[2]


def start(code: str, **options) -> subprocess.Popen:
    """Start a program whose body prints what it does."""
    text = "import os, signal, sys, threading, time\nfrom dexscrew_envs import program\n" + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT, text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )  # fmt: skip


WAITING = """
def body():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("tidied up", flush=True)
sys.exit(program.run(body))
"""


def ready(process: subprocess.Popen) -> None:
    assert process.stdout.readline() == "ready\n"


CATCHABLE = [n for n in ENDING_SIGNALS if n < 32]


@pytest.mark.slow
@pytest.mark.parametrize("number", [*CATCHABLE, ENDING_SIGNALS[-1]])
def test_each_ending_signal_tidies_up_and_gives_its_status(number):
    process = start(WAITING)
    ready(process)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert out == "tidied up\n"
    assert process.returncode == 128 + number
    assert error.startswith("ended by ") and error.count("\n") == 1


_ALL = """
import os, signal
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
    child = os.fork()
    if child == 0:
        try:
            signal.signal(number, signal.SIG_DFL)
        except OSError:
            os._exit(0)
        os.kill(os.getpid(), number)
        os._exit(0)
    _, status = os.waitpid(child, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    elif os.WIFSIGNALED(status):
        print(number)
"""


def test_all_signals_that_end_a_process_are_known():
    found = subprocess.run([sys.executable, "-c", _ALL], capture_output=True, text=True, check=True, timeout=60)
    ending = {int(number) for number in found.stdout.split()}
    faults = {signal.SIGILL, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV}  # a handler would return into the fault
    errors = {signal.SIGPIPE, signal.SIGXFSZ}  # Python ignores them, so that they are exceptions
    assert signal.SIGTERM in ending
    assert ending - faults - errors <= set(ENDING_SIGNALS)


@pytest.mark.slow
def test_a_wish_that_is_told_twice_does_not_interrupt_the_tidying():
    process = start("""
        def body():
            try:
                print("ready", flush=True)
                time.sleep(60)
            finally:
                time.sleep(1)
                print("tidied up", flush=True)
        sys.exit(program.run(body))
    """)
    ready(process)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        process.send_signal(number)
        time.sleep(0.2)
    out, _ = process.communicate(timeout=60)
    assert out == "tidied up\n" and process.returncode == 128 + signal.SIGINT


def test_a_signal_that_a_finaliser_swallows_is_told_again():
    process = start("""
        class Slow:
            def __del__(self):
                print("ready", flush=True)
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    pass
        def body():
            del Slow.instance
            time.sleep(60)
        Slow.instance = Slow()
        sys.exit(program.run(body))
    """)
    ready(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize("raised", ["RuntimeError('made of it')", "KeyboardInterrupt()", "SystemExit(15)"])
def test_a_library_that_makes_something_else_of_a_signal_does_not_hide_it(raised):
    process = start(f"""
        def body():
            try:
                print("ready", flush=True)
                time.sleep(60)
            except KeyboardInterrupt:
                raise {raised}
        sys.exit(program.run(body))
    """)
    ready(process)
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM and error == "ended by SIGTERM\n"


def test_what_goes_wrong_while_it_tidies_up_is_told_too():
    process = start("""
        def body():
            try:
                print("ready", flush=True)
                time.sleep(60)
            except KeyboardInterrupt:
                raise program.CutShort("the checkpoint could not be written")
        sys.exit(program.run(body))
    """)
    ready(process)
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert error == "error: the checkpoint could not be written\nended by SIGTERM\n"


@pytest.mark.slow
def test_nohup_is_respected():
    process = start(WAITING, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    ready(process)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    assert process.communicate(timeout=60)[0] == "tidied up\n"
    assert process.returncode == 128 + signal.SIGTERM


def test_a_background_job_still_answers_ctrl_c():
    process = start(WAITING, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    ready(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT


def test_a_program_that_moves_a_robot_ends_with_its_parent(tmp_path):
    inner = "import os, sys, time\nfrom dexscrew_envs import program\n" + textwrap.dedent("""
        def body():
            open("pid", "w").write(str(os.getpid()))
            try:
                time.sleep(60)
            finally:
                open("tidied", "w").write("up")
        status = program.run(body, follow_parent=True)
        open("status", "w").write(str(status))
    """)
    (tmp_path / "inner.py").write_text(inner)
    kill_the_parent(tmp_path)
    wait_for(tmp_path / "status")
    assert (tmp_path / "tidied").exists() and (tmp_path / "status").read_text() == str(128 + signal.SIGHUP)


def test_a_parent_that_ends_during_the_imports_is_noticed(tmp_path):
    (tmp_path / "inner.py").write_text(
        textwrap.dedent("""
            import os, time
            from dexscrew_envs import program
            open("pid", "w").write(str(os.getpid()))
            before = os.getppid()
            while os.getppid() == before:  # other imports take seconds
                time.sleep(0.01)
            status = program.run(lambda: time.sleep(60), follow_parent=True)
            open("status", "w").write(str(status))
        """)
    )
    kill_the_parent(tmp_path)
    wait_for(tmp_path / "status", timeout=20.0)
    assert (tmp_path / "status").read_text() == str(128 + signal.SIGHUP)


def kill_the_parent(folder: Path) -> None:
    """Run `inner.py` of a folder from another process, and kill that once `pid` is written."""
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, 'inner.py'])"], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(folder / "pid")
    parent.kill()
    parent.wait()


def wait_for(path: Path, timeout: float = 60.0) -> None:
    end = time.monotonic() + timeout
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, f"no {path.name}"
        time.sleep(0.02)


def test_an_exception_in_a_thread_ends_the_program():
    process = start("""
        def body():
            try:
                threading.Thread(target=lambda: 1 / 0, name="watch").start()
                time.sleep(60)
            finally:
                print("tidied up", flush=True)
        sys.exit(program.run(body))
    """)
    out, error = process.communicate(timeout=60)
    assert out == "tidied up\n" and process.returncode == Status.FAILED
    assert "ZeroDivisionError" in error.splitlines()[-1] and "in the thread 'watch'" in error.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        ("ValueError('--steps must be 1')", Status.REFUSED, "error: --steps must be 1"),
        ("FileNotFoundError(2, 'No such file', 'x')", Status.REFUSED, "error: [Errno 2] No such file: 'x'"),
        ("OSError(28, 'No space left on device', 'x')", Status.CUT_SHORT, "error: cannot write x: No space left"),
        ("OSError(122, 'Disk quota exceeded', 'x')", Status.CUT_SHORT, "error: cannot write x: Disk quota"),
        ("program.CutShort('it diverged')", Status.CUT_SHORT, "error: it diverged"),
        ("ModuleNotFoundError('no', name='rich.live')", Status.REFUSED, "[real]"),
        ("RuntimeError('bug')", Status.FAILED, "error: RuntimeError: bug; this is a fault of the program"),
        ("BrokenPipeError(32, 'Broken pipe')", 141, ""),
    ],
)
def test_errors_have_a_sentence_and_a_status(raised, status, words):
    process = start(f"""
        def body():
            raise {raised}
        sys.exit(program.run(body))
    """)
    _, error = process.communicate(timeout=60)
    assert process.returncode == status
    assert words in error and ("Traceback" in error) == (status == Status.FAILED)


@pytest.mark.parametrize(("target", "status"), [("/dev/full", Status.CUT_SHORT), ("pipe", 141)])
def test_output_that_cannot_be_written_has_a_status(target, status):
    code = "sys.exit(program.run(lambda: print('x' * 100_000)))"
    if target == "pipe":
        reader, writer = os.pipe()
        os.close(reader)
        process = start(code, stdout=writer)
        os.close(writer)
    else:
        with open(target, "w") as full:
            process = start(code, stdout=full)
    _, error = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in error and "Exception ignored" not in error


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_signs_that_the_terminal_lacks_lose_nothing(encoding):
    process = start(
        "sys.exit(program.run(lambda: print('19.7 ± 1.8 ░ 3 × 4…')))", env=os.environ | {"PYTHONIOENCODING": encoding},
        encoding=encoding,
    )  # fmt: skip
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert out == ("19.7 +- 1.8 ? 3 x 4...\n" if encoding == "ascii" else out)
    assert "19.7" in out


def test_closed_outputs_lose_nothing():
    code = "import sys\nfrom dexscrew_envs import program\nsys.exit(program.run(lambda: print('hello')))"
    found = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, code], cwd=ROOT, timeout=60, check=False
    )
    assert found.returncode == 0


def test_a_program_leaves_signals_and_hooks_as_they_were():
    import threading

    before = [signal.getsignal(n) for n in ENDING_SIGNALS], threading.excepthook, sys.unraisablehook, sys.stdout.errors
    assert program.run(lambda: 3) == 3
    after = [signal.getsignal(n) for n in ENDING_SIGNALS], threading.excepthook, sys.unraisablehook, sys.stdout.errors
    assert before == after


def test_interruptions_in_process_give_their_status(capsys):
    def told() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        return 0

    assert program.run(told) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "ended by SIGTERM\n"
    assert issubclass(Ended, KeyboardInterrupt) and CutShort("x").exit_status == 4


@dataclass
class Args:
    """Arguments."""

    steps: int = 1
    """How many."""


def test_help_and_errors_name_the_command_that_was_typed(capsys):
    for argv, status in ((["--help"], 0), (["--stps", "3"], 2)):
        with pytest.raises(SystemExit) as ended:
            program.main("baselines.ppo_oracle", Args, lambda args: 0, argv, "Doc.")
        assert ended.value.code == status
        captured = capsys.readouterr()
        assert "python -m baselines.ppo_oracle" in captured.out + captured.err


# -- packages that are not installed ----------------------------------------------------------------------------------

_BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""

COMMANDS = (
    "dexscrew_envs.reference", "real.twin.reference", "baselines.ppo_oracle", "baselines.ppo_asymmetric",
    "baselines.ppo_unprivileged", "baselines.student", "baselines.evaluate", "baselines.play",
    "baselines.export", "baselines.data", "baselines.bc", "baselines.replay",
    "benchmark.sim_ablations", "benchmark.generalization", "benchmark.ablation_dependence", "benchmark.pictures",
    "benchmark.twin_trials", "benchmark.real_eval", "real.twin.pictures",
    "real.run", "real.teleop", "real.doctor", "real.twin", "real.hand_server",
)  # fmt: skip
WITHOUT_EXTRAS = ("dexscrew_envs.reference", "real.twin.reference")
"""Commands that need none."""


@pytest.mark.slow
@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_without_its_extra_names_it_in_one_sentence(tmp_path, module):
    (tmp_path / "sitecustomize.py").write_text(_BLOCKER.format(blocked=tuple(extras.EXTRAS)))
    found = subprocess.run(
        [sys.executable, "-m", module, *(["keys"] if module == "real.hand_server" else ["--help"])],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    if module in WITHOUT_EXTRAS:
        assert found.returncode == 0, found.stderr
        return
    assert found.returncode == Status.REFUSED, found.stderr
    match = re.search(
        r"needs the package (\w+), which is not installed; install it with: .*'\.\[(\w+)\]'", found.stderr
    )
    assert match and match[2] in extras.EXTRAS[match[1]]
    assert found.stderr.count("\n") == 1


def test_every_command_is_looked_at():
    commands = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for package in ("dexscrew_envs", "baselines", "real", "benchmark")
        for path in (ROOT / package).rglob("*.py")
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    }
    started_by_others = {"real.hardware.arm_process", "real.hardware.hand_guard"}
    assert commands - started_by_others == set(COMMANDS)
