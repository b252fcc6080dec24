"""The set-up of .venv: once for each lock file, never half."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slotbase.devstack import bootstrap
from slotbase.devstack.bootstrap import ensure_environment


@pytest.fixture
def root(tmp_path):
    (tmp_path / "requirements-dev.lock").write_text("django==5.2\n")
    return tmp_path


@pytest.fixture
def made(monkeypatch):
    """What was set up; the steps themselves only pretend."""
    steps = []

    def make(root):
        steps.append("venv")
        (root / ".venv" / "bin").mkdir(parents=True, exist_ok=True)
        (root / ".venv" / "bin" / "python").touch()

    monkeypatch.setattr(bootstrap, "_make_environment", make)
    monkeypatch.setattr(
        bootstrap, "_install_packages", lambda _: steps.append("packages")
    )
    return steps


def test_the_second_run_finds_the_work_of_the_first(root, made):
    ensure_environment(root)
    ensure_environment(root)
    assert made == ["venv", "packages"]


def test_another_lock_file_means_a_new_set_up(root, made):
    ensure_environment(root)
    (root / "requirements-dev.lock").write_text("django==5.3\n")
    ensure_environment(root)
    assert made == ["venv", "packages"] * 2


def test_an_interpreter_that_is_gone_means_a_new_set_up(root, made):
    ensure_environment(root)
    (root / ".venv" / "bin" / "python").unlink()
    ensure_environment(root)
    assert made == ["venv", "packages"] * 2


def test_a_set_up_that_was_interrupted_is_done_again(root, made, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "_install_packages", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ensure_environment(root)
    ensure_environment(root)

    assert made == ["venv", "venv", "packages"]


def test_two_at_once_set_up_once(root, made):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ensure_environment, [root, root]))
    assert made == ["venv", "packages"]


def test_pip_does_the_work_when_uv_cannot(root, monkeypatch):
    uv = "uv==1.2 \\\n    --hash=sha256:b\n"
    lock = root / "requirements-dev.lock"
    lock.write_text(f"sniffio==1 \\\n    --hash=sha256:a\n{uv}zope==3\n")
    programs, locks = [], []

    def pretend(program, *arguments):
        programs.append(Path(program).name)
        assert "--require-hashes" in arguments
        locks.append(Path(arguments[-1]).read_text())
        return "no network" if programs[-1] == "uv" else ""

    monkeypatch.setattr(bootstrap, "_failure", pretend)
    bootstrap._install_packages(root)

    assert programs == ["python", "uv", "python"]
    assert locks == [uv, lock.read_text(), lock.read_text()]


def test_an_old_python_is_told_so_in_one_line():
    code = (
        "import runpy, sys; sys.version_info = (3, 9, 2); "
        f"runpy.run_path({bootstrap.__file__!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("SlotBase needs Python 3.11 or newer, this is 3.9.")
    assert done.stderr.count("\n") == 1
