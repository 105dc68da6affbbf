"""Commands in their surroundings: closed pipes, full disks, terminals of few characters, signals, system errors."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persam_video.cli.common import run
from persam_video.cli.track import main

COMMANDS = ["track", "davis", "segment"]
TALKS = (
    "import sys; from persam_video.cli.common import run; from persam_video.cli.terminal import complain, say\n"
    "def work():\n"
    "    for i in range(3000): say(f'line {i}'); complain(f'warning {i}')\n"
    "    open(sys.argv[1], 'w').write('whole')\n"
    "    return 7\n"
    "sys.exit(run('persam-test', work))"
)


def shell(command: str, *arguments: str, code: str = TALKS) -> subprocess.CompletedProcess[bytes]:
    """Shell command in which ``$0 -c "$1"`` is Python with some code."""
    words = ["bash", "-c", command, sys.executable, code, *arguments]
    return subprocess.run(words, capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize(
    "to",
    [
        "| true",
        "| head -c 1",
        "2>&1 | head -c 1",
        "> /dev/full",
        "2> /dev/full",
        "> /dev/full 2>&1",
        ">&-",
        "2>&-",
        ">&- 2>&- <&-",
    ],
)
def test_the_work_is_finished_whatever_becomes_of_what_is_printed(tmp_path: Path, to: str) -> None:
    if "/dev/full" in to and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    result = shell(f'{{ "$0" -c "$1" "$2" {to}; exit "${{PIPESTATUS[0]}}"; }}', str(tmp_path / "other"))
    assert result.returncode == 7, result
    assert b"Traceback" not in result.stderr + result.stdout
    assert b"Exception ignored" not in result.stderr
    assert (tmp_path / "other").read_text() == "whole"  # nothing that was printed went into a file that was opened


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_help_on_any_terminal(command: str, encoding: str) -> None:
    code = f"import sys; from persam_video.cli import entry; sys.argv[1:] = ['--help']; sys.exit(entry.{command}())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"usage: persam-" in done.stdout


@pytest.mark.parametrize(
    ("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), pytest.param("SIGHUP", 129, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_command_like_ctrl_c(name: str, code: int) -> None:
    program = (
        "import signal, sys, time; from persam_video.cli.common import run\n"
        f"signal.signal(signal.{name}, signal.SIG_DFL)\n"  # programs in the background begin with SIGINT ignored
        "def work():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "sys.exit(run('persam-test', work))"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdout=pipe, stderr=pipe) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(getattr(signal, name))
        _, errors = child.communicate(timeout=20)
    assert child.returncode == code
    assert errors == b"persam-test: interrupted\n"


@pytest.mark.slow
def test_ctrl_c_during_the_imports() -> None:
    code = (
        "import signal, sys; from persam_video.cli import entry; signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'persam_video.cli.davis':\n            print('ready', flush=True)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.exit(entry.davis())"
    )
    pipe = subprocess.PIPE
    for delay in (0.05, 0.15, 0.4):
        with subprocess.Popen([sys.executable, "-c", code, "run"], stdout=pipe, stderr=pipe) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(delay)
            child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=20)
        assert child.returncode in (130, 2)  # 2: it was through, and says that options are missing
        assert len(errors.splitlines()) == 1, errors


def test_an_interruption_that_a_library_makes_another_error_of(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except KeyboardInterrupt:
            raise ImportError("cannot load the C extension") from None
        return 0

    before = signal.getsignal(signal.SIGTERM)
    assert run("persam-test", work) == 143
    assert capsys.readouterr().err == "persam-test: interrupted\n"
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "shut/v\n.mp4"),
            "shut/v\\n.mp4: Permission denied; give a ",
        ),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 3000), "xxx: File name too long; give a shorter name"),
        (OSError(errno.ENOSPC, "No space left on device"), "a file: No space left on device; free some space"),
        (OSError("something else"), "a file: something else; "),
        (FileNotFoundError(2, "No such file or directory", b"\xff.png"), "\\udcff.png: No such file or directory; "),
        (MemoryError(), "not enough memory"),
    ],
)
def test_errors_of_the_system_are_one_line(capsys: pytest.CaptureFixture[str], error: Exception, line: str) -> None:
    def work() -> int:
        raise error

    assert run("persam-test", work) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("persam-test: error: ")
    assert line in printed
    assert printed.count("\n") == 1


def test_a_fault_of_the_program_is_not_hidden() -> None:
    def work() -> int:
        raise AssertionError("a bug")

    with pytest.raises(AssertionError, match="a bug"):
        run("persam-test", work)


@pytest.mark.skipif(os.name != "posix", reason="names of bytes are POSIX's")
def test_names_of_any_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[31m\n.mp4")
    assert main([name, "--first-mask", "m.png"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "\\udcff\\x1b[31m\\n.mp4" in printed
