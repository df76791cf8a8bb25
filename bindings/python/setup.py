# SPDX-License-Identifier: Apache-2.0
"""Builds rlcore with librlcore in it: `pip install ./bindings/python`, from the tree or from an sdist.

An sdist has the parts of the tree that this needs in the folder core/, and what SWIG makes.
Needed are a C compiler, pkg-config, hiredis and OpenSSL with their headers, and in the tree SWIG.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).resolve().parent
os.chdir(HERE)
CORE = HERE / "core" if (HERE / "core").is_dir() else HERE.parents[1]
PARTS = ["base", "policy", "http", "algorithm", "redis", "store", "limiter"]
# Of the tree, beside the sources of librlcore.
SHARED = ["bindings/rlcore.i", "bindings/lease.i", "bindings/index.i", "packaging/embed-lua.sh",
          "libcore/include/rlcore/rlcore.h", "LICENSE"]
MADE = {"scripts_data.c"}  # a build inside the tree leaves it there


def core_files(pattern):
    return sorted(path for part in PARTS for path in (CORE / "libcore" / part).glob(pattern)
                  if path.name not in MADE)


def version():
    header = (CORE / "libcore/include/rlcore/rlcore.h").read_text()
    return re.search(r'^#define RLC_VERSION "(.+)"', header, re.M)[1]


def pkg_config(*words):
    try:
        out = subprocess.run([os.environ.get("PKG_CONFIG", "pkg-config"), *words, "hiredis >= 0.14",
                              "openssl >= 1.1.1"], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit("pkg-config is missing: install it (Debian: pkg-config)") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit("hiredis or OpenSSL is missing (Debian: libhiredis-dev, libssl-dev): "
                         + error.stderr) from None
    return shlex.split(out.stdout)


def make_wrapper(path):
    """What SWIG makes of the .i files; an sdist has it already."""
    ready = HERE / "rlcore_wrap.c"
    path.parent.mkdir(parents=True, exist_ok=True)
    swig = os.environ.get("SWIG") or shutil.which("swig")
    if CORE == HERE / "core":
        shutil.copy(ready, path)
    elif swig is None:
        raise SystemExit("swig is missing: install it (Debian: swig), or build from an sdist")
    else:
        subprocess.run([swig, "-python", "-builtin", "-threads", f"-I{CORE}/bindings",
                        f"-I{CORE}/libcore/include", "-outdir", str(path.parent), "-o", str(path),
                        "rlcore_python.i"], check=True)


class BuildExt(build_ext):
    def build_extension(self, ext):
        made = pathlib.Path(self.build_temp).resolve()
        make_wrapper(made / "rlcore_wrap.c")
        scripts = made / "scripts_data.c"
        with open(scripts, "w") as out:
            subprocess.run(["sh", "packaging/embed-lua.sh",
                            *(f"lua/{path.name}" for path in sorted((CORE / "lua").glob("*.lua")))],
                           cwd=CORE, check=True, stdout=out)
        # Objects go to the build folder, wherever the sources are.
        os.chdir(CORE)
        try:
            ext.sources = [str(path.relative_to(CORE)) for path in core_files("*.c")]
            ext.sources += [os.path.relpath(path, CORE) if CORE in path.parents else str(path)
                            for path in [*sorted((HERE / "src").glob("*.c")),
                                         made / "rlcore_wrap.c", scripts]]
            ext.include_dirs = [str(CORE / "libcore/include"), str(CORE / "libcore"),
                                str(HERE / "src")]
            ext.define_macros = [("_GNU_SOURCE", None), ("RLC_BUILD", None)]
            ext.extra_compile_args = ["-std=c11", "-fvisibility=hidden", "-pthread",
                                      *pkg_config("--cflags")]
            ext.extra_link_args = ["-pthread", *pkg_config("--libs")]
            self.build_temp = str(made)
            self.build_lib = str((HERE / self.build_lib).resolve())
            super().build_extension(ext)
        finally:
            os.chdir(HERE)


class Sdist(sdist):
    """Adds the core, which lies outside of this folder."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        base = pathlib.Path(base_dir)
        extra = [CORE / name for name in SHARED]
        extra += core_files("*.[ch]") + sorted((CORE / "lua").glob("*.lua"))
        for path in extra:
            to = base / "core" / path.relative_to(CORE)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
        shutil.copy(CORE / "LICENSE", base / "LICENSE")
        make_wrapper(base / "rlcore_wrap.c")
        (base / "rlcore.py").unlink(missing_ok=True)  # SWIG's own front


setup(
    version=version(),
    ext_modules=[Extension("rlcore._rlcore", sources=[])],
    cmdclass={"build_ext": BuildExt, "sdist": Sdist},
)
