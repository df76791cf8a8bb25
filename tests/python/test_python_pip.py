# SPDX-License-Identifier: Apache-2.0
"""pip makes an sdist of the tree and a wheel of the sdist, with the core in it; and that works."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from conftest import TOP

HERE = pathlib.Path(__file__).resolve().parent
PARTS = ["bindings", "libcore", "lua", "packaging/embed-lua.sh", "LICENSE"]


def run(*words, cwd, **env):
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True,
                          env=dict(os.environ, **env))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of a package installed from a wheel from an sdist from a copy of the tree, which
    itself stays as it is."""
    pytest.importorskip("pip")
    pytest.importorskip("wheel")
    folder = tmp_path_factory.mktemp("pip")
    for part in PARTS:
        to = folder / "tree" / part
        to.parent.mkdir(parents=True, exist_ok=True)
        if (TOP / part).is_dir():
            shutil.copytree(TOP / part, to, ignore=shutil.ignore_patterns(
                "*.o", "*.lo", ".libs", ".deps", "lib", "rlcore_wrap.c", "scripts_data.c"))
        else:
            shutil.copy(TOP / part, to)
    for path in (folder / "tree").rglob("*"):
        path.chmod(path.stat().st_mode | 0o200)  # distcheck's sources are read-only
    package = folder / "tree/bindings/python"
    run(sys.executable, "setup.py", "-q", "sdist", "-d", folder, cwd=package)
    shutil.rmtree(folder / "tree")
    sdist, = folder.glob("rlcore-*.tar.gz")
    # Nobody needs SWIG for an sdist. -O0: it is to be quick here.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", folder, sdist,
        cwd=folder, CFLAGS="-O0", SWIG="/nowhere")
    wheel, = folder.glob("rlcore-*.whl")
    run(*pip, "install", "--no-deps", "--no-index", "--target", folder / "lib", wheel, cwd=folder)
    return folder / "lib"


def test_the_wheel_has_all(installed):
    names = {path.name for path in (installed / "rlcore").iterdir()}
    assert {"__init__.py", "py.typed", "_rlcore.pyi", "wsgi.py", "limits_storage.py"} <= names
    extension, = (installed / "rlcore").glob("_rlcore*.so")
    needs = run("ldd", extension, cwd=installed)
    assert "librlcore" not in needs and "libhiredis" in needs
    assert (installed / "rlcore-0.1.0.dist-info").is_dir()


def test_the_wheel_works(installed):
    """The shared vectors, in all stores, by what pip installed."""
    out = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
              HERE / "test_python_vectors.py", cwd=installed, RLC_PYTHON_LIB=str(installed))
    assert " passed" in out and "failed" not in out
