"""The wheel and the editable install: made from the library, put into an environment of their own, and used."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent
USE = """
import qccl, torch
x = torch.randn(64, 128, requires_grad=True)
with qccl.activations("int8") as acts:
    loss = x.clone().sin().sum()
loss.backward()
print(acts.report().rows["int8"].tensors, qccl.__file__)
"""


@pytest.fixture(scope="module")
def build(pytestconfig):
    if pytestconfig.getoption("--build") is None:
        pytest.skip("wheels are made from a build folder; name it by --build")
    pytest.importorskip("scikit_build_core")
    return Path(pytestconfig.getoption("--build")).resolve()


def run(*command, **environment):
    """With the packages of this interpreter, but neither its qccl nor its library."""
    packages = [path for path in sys.path if path.endswith("-packages")]
    inherited = {name: value for name, value in os.environ.items() if name not in ("LIBQCCL_PATH", "PYTHONPATH", "CMAKE_PREFIX_PATH")}
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120, check=False,
        env={**inherited, "PYTHONPATH": os.pathsep.join(packages), **environment},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


@pytest.fixture
def fresh(tmp_path):
    """A new virtual environment with nothing in it."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "fresh")
    return tmp_path / "fresh" / "bin" / "python"


def install(fresh, *what, **environment):
    run(fresh, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", *what, **environment)


def use(fresh, where):
    """By this interpreter, which has PyTorch."""
    site = run(fresh, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", PYTHONPATH="")
    # site.addsitedir reads .pth files, which editable installs are made of.
    tensors, file = run(sys.executable, "-c", f"import site; site.addsitedir({site!r})\n{USE}").split()
    assert tensors == "1"
    assert Path(file).is_relative_to(where)


def test_a_wheel_in_a_fresh_environment(build, fresh, tmp_path):
    run("cmake", "--install", build, "--prefix", tmp_path / "prefix", "--component", "qccl")
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation",
        "-w", tmp_path / "wheels", PACKAGE, CMAKE_PREFIX_PATH=str(tmp_path / "prefix"),
    )  # fmt: skip
    (wheel,) = (tmp_path / "wheels").iterdir()
    assert "-py3-none-linux_" in wheel.name
    files = zipfile.ZipFile(wheel).namelist()
    assert "qccl/libqccl.so.0" in files and "qccl/__init__.py" in files
    assert not [file for file in files if not file.startswith("qccl")], "nothing but the package and its metadata"
    install(fresh, wheel)
    version = run(fresh, "-c", "import qccl; print(qccl.version())", PYTHONPATH="")
    assert wheel.name.startswith(f"qccl-{version}-")
    use(fresh, tmp_path)


def test_an_editable_install(build, fresh):
    install(fresh, "-e", PACKAGE, qccl_DIR=str(build))
    file = run(fresh, "-c", "import qccl; print(qccl.__file__)", PYTHONPATH="")
    assert Path(file) == PACKAGE / "qccl" / "__init__.py"
    use(fresh, PACKAGE)
