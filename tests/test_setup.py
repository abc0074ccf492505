"""The set-up: run.py, pyproject.toml and environment.yml."""

import ast
import glob
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
SOURCE = (ROOT / "run.py").read_text(encoding="utf-8")


@pytest.fixture
def run():
    """A fresh module of run.py."""
    spec = importlib.util.spec_from_file_location("lpws_run", ROOT / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Checkout:
    """A checkout in a temporary folder, whose commands are recorded and pretended, not run."""

    def __init__(self, run, folder, monkeypatch):
        self.run, self.monkeypatch = run, monkeypatch
        self.commands = []
        self.codes = {}  # what a command says, anywhere in it → its exit code
        self.project = folder / "pyproject.toml"
        self.project.write_text("[project]\n")
        venv = folder / ".venv"
        self.venv, self.python, self.stamp = venv, venv / "bin" / "python", venv / "lpws-stamp.txt"
        for name, value in {
            "ROOT": folder, "VENV": venv, "PYTHON": self.python, "STAMP": self.stamp, "run": self.pretend,
        }.items():  # fmt: skip
            monkeypatch.setattr(run, name, str(value) if isinstance(value, Path) else value)
        self.have_uv(False)
        monkeypatch.chdir(folder)

    def have_uv(self, there):
        self.monkeypatch.setattr(self.run.shutil, "which", lambda name: "/opt/uv" if there else None)

    def pretend(self, *command):
        self.commands.append(" ".join(command))
        code = next((code for part, code in self.codes.items() if part in self.commands[-1]), 0)
        if " venv " in self.commands[-1] and not code:
            self.python.parent.mkdir(parents=True, exist_ok=True)
            self.python.touch()
        return code

    def install(self):
        """The commands of one more run of the set-up."""
        self.commands.clear()
        self.run.install()
        return list(self.commands)


@pytest.fixture
def checkout(run, tmp_path, monkeypatch):
    return Checkout(run, tmp_path, monkeypatch)


# environment.yml says what pyproject.toml says


def bounds(requirements):
    """Version bounds by name: {"tornado": ">=6.5"}."""
    parts = [re.fullmatch(r"([A-Za-z0-9_.-]+)\s*([^;\s]*)(?:\s*;.*)?", text) for text in requirements]
    return {part[1].lower(): part[2] for part in parts}


def test_conda_has_the_same_lower_bounds():
    *conda, pip = CONDA["dependencies"]
    conda = bounds(conda)
    assert conda.pop("python") == "=3.11"  # Binder silently takes 3.10 for ">=3.11"
    assert conda.pop("pip") == ""
    assert conda.keys() == {"jupyterlab", "tornado", "matplotlib", "pandas", "nbval"}
    extras = PROJECT["optional-dependencies"]
    ours = bounds(PROJECT["dependencies"] + extras["lab"] + extras["test"])
    assert conda == {name: ours[name] for name in conda}
    assert pip == {"pip": ["-e .[lab,test]"]}
    assert CONDA["channels"] == ["conda-forge"]


def test_every_dependency_has_one_lower_bound_and_no_other():
    for extra in [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]:
        for name, bound in bounds(extra).items():
            assert re.fullmatch(r">=\d+(\.\d+)+", bound), name


def test_jupyterlab_opens_without_a_question():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    [(source, target)] = shared.items()
    assert target == "share/jupyter/lab/settings/overrides.d/lpws.json"
    [(schema, ours)] = json.loads((ROOT / source).read_text()).items()
    plugin, name = schema.split(":")
    schemas = Path(sys.prefix, "share", "jupyter", "lab", "schemas", plugin)
    known = json.loads((schemas / f"{name}.json").read_text())["properties"]
    assert ours == {"fetchNews": "false", "checkForUpdates": False}
    assert ours.keys() <= known.keys()


def test_the_oldest_python_is_the_same_everywhere(run):
    oldest = ".".join(map(str, run.OLDEST))
    assert PROJECT["requires-python"] == ">=" + oldest
    assert "python=" + oldest in CONDA["dependencies"]


# An old Python gets a sentence


def test_run_py_holds_nothing_that_an_old_python_cannot_parse():
    assert SOURCE.isascii()
    new = (
        ast.JoinedStr, ast.NamedExpr, ast.AnnAssign, ast.Nonlocal, ast.Match, ast.MatMult, ast.YieldFrom,
        ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await, ast.TryStar,
    )  # fmt: skip
    for node in ast.walk(ast.parse(SOURCE)):
        assert not isinstance(node, new), f"line {node.lineno}: {type(node).__name__}"
        if isinstance(node, ast.FunctionDef):
            arguments = node.args.args + [node.args.vararg, node.args.kwarg]
            assert not node.returns
            assert not any(argument and argument.annotation for argument in arguments), node.name
            assert not node.args.kwonlyargs + node.args.posonlyargs, node.name
        if isinstance(node, ast.Call):  # f(*a, b) and f(*a, *b) came with Python 3.5
            stars = [isinstance(argument, ast.Starred) for argument in node.args]
            assert not any(stars[:-1]), f"line {node.lineno}"
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            assert not any(isinstance(item, ast.Starred) for item in node.elts), f"line {node.lineno}"
        if isinstance(node, ast.Dict):
            assert None not in node.keys, f"line {node.lineno}"
        if isinstance(node, ast.Raise):
            assert node.cause is None, f"line {node.lineno}"


@pytest.mark.parametrize("version", [(2, 7, 18, "final", 0), (3, 6, 15, "final", 0), (3, 10, 13, "final", 0)])
def test_an_old_python_is_told_what_is_needed(run, version):
    with pytest.raises(SystemExit) as ended:
        run.check_python(version)
    found = ".".join(map(str, version[:3]))
    assert ended.value.code.startswith(f"This is Python {found}, and lpws needs Python 3.11 or newer: please")
    assert "\n" not in ended.value.code


@pytest.mark.parametrize("version", [(3, 11, 0, "final", 0), (3, 14, 1, "final", 0), (4, 0, 0, "final", 0)])
def test_a_new_python_is_let_through(run, version):
    assert run.check_python(version) is None


def old_pythons():
    """Interpreters older than 3.11 on this machine: {"2.7.18": path}."""
    names = ["python2", "python2.7"] + [f"python3.{minor}" for minor in range(11)]
    paths = [path for path in map(shutil.which, names) if path]
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    paths += glob.glob(os.path.join(pyenv, "versions", "*", "bin", "python"))
    found = {}
    for path in paths:
        ask = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
        answer = subprocess.run([path, "-c", ask], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and tuple(map(int, answer.stdout.split("."))) < (3, 11):
            found[answer.stdout.strip()] = path
    return found


def test_real_old_pythons_say_the_sentence_and_nothing_else():
    pythons = old_pythons()
    if not pythons:
        pytest.skip("no Python older than 3.11 on this machine")
    for version, path in pythons.items():
        said = subprocess.run([path, ROOT / "run.py", "lab"], capture_output=True, text=True, check=False)
        assert (said.returncode, said.stdout) == (1, ""), version
        assert said.stderr.startswith(f"This is Python {version}, and lpws needs"), version
        assert said.stderr.count("\n") == 1, version


# What a command line does


def call(*arguments):
    command = [sys.executable, ROOT / "run.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_unknown_command_says_the_usage_and_ends_with_2():
    said = call("frobnicate")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("Unknown command: frobnicate\n")
    assert "python3 run.py lab" in said.stderr


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",)])
def test_help_says_the_usage(arguments):
    said = call(*arguments)
    assert (said.returncode, said.stderr) == (0, "")
    for command in ("lab", "test", "notebooks"):
        assert f"python3 run.py {command} " in said.stdout


def test_lab_hands_its_arguments_to_jupyterlab(run, monkeypatch):
    became = []
    monkeypatch.setattr(run, "become", lambda *command: became.append(command))
    run.lab(["--no-browser", "--port=9999"])
    [command] = became
    assert command[:3] == (run.PYTHON, "-m", "jupyterlab")
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in command
    assert command[-2:] == ("--no-browser", "--port=9999")


def test_test_runs_every_step_and_fails_if_any_fails(checkout):
    checkout.run.test([])
    assert [command.split()[2] for command in checkout.commands] == ["ruff", "pytest"]

    (checkout.project.parent / "notebooks").mkdir()
    (checkout.project.parent / "notebooks" / "00_a.ipynb").touch()
    checkout.commands.clear()
    checkout.codes = {"ruff": 1}
    with pytest.raises(SystemExit) as ended:
        checkout.run.test([])
    assert ended.value.code == "Failed: ruff check ."
    assert [command.split()[2] for command in checkout.commands] == ["ruff", "pytest", "pytest"]
    assert "--nbval --nbval-current-env --nbval-cell-timeout=120 notebooks" in checkout.commands[-1]


@pytest.mark.parametrize("system", ["posix", "nt"])
@pytest.mark.parametrize("code", [0, 5])
def test_the_exit_code_of_a_command_is_passed_on(run, code, system):
    script = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("run", {str(ROOT / "run.py")!r})
run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)
run.os.name = {system!r}
run.become(sys.executable, "-c", "print('once'); raise SystemExit({code})")
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (code, "once\n")
    assert run.run(sys.executable, "-c", f"raise SystemExit({code})") == code


# When it installs


@pytest.mark.parametrize("uv", [False, True])
def test_it_installs_once(checkout, uv):
    checkout.have_uv(uv)
    first = checkout.install()
    if uv:
        assert first[0] == f"/opt/uv venv --python {sys.executable} {checkout.venv}"
        assert first[1] == f"/opt/uv pip install --python {checkout.python} --editable .[lab,test]"
    else:
        assert first[0] == f"{sys.executable} -m venv {checkout.venv}"
        assert first[1] == f"{checkout.python} -m pip install --no-compile --editable .[lab,test]"
    assert checkout.install() == []


def test_another_pyproject_is_installed_into_the_same_environment(checkout):
    checkout.install()
    mark = checkout.venv / "mark"
    mark.touch()
    checkout.project.write_text("[project]\nname = 'other'\n")
    assert any("pip install" in command for command in checkout.install())
    assert mark.exists()
    assert checkout.install() == []


def test_another_python_gets_a_new_environment(checkout, monkeypatch):
    checkout.install()
    mark = checkout.venv / "mark"
    mark.touch()
    monkeypatch.setattr(checkout.run.sys, "version", "3.99.1 (main)")
    assert any("pip install" in command for command in checkout.install())
    assert not mark.exists()
    assert checkout.install() == []


def test_a_moved_checkout_gets_a_new_environment(checkout, monkeypatch):
    checkout.install()
    (checkout.venv / "mark").touch()
    elsewhere = checkout.project.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(checkout.project, elsewhere)
    monkeypatch.setattr(checkout.run, "ROOT", str(elsewhere))
    assert checkout.install()
    assert not (checkout.venv / "mark").exists()


@pytest.mark.parametrize("uv", [False, True])
def test_an_interrupted_installation_heals(checkout, uv):
    checkout.have_uv(uv)
    checkout.codes = {"pip install": 7}
    with pytest.raises(SystemExit) as ended:
        checkout.install()
    assert ended.value.code == 7
    assert not checkout.stamp.exists()
    checkout.codes = {}
    half = checkout.venv / "half-written"
    half.touch()
    assert len(checkout.install()) == 2
    assert not half.exists()
    assert checkout.install() == []


def test_a_failed_update_leaves_no_stamp(checkout):
    checkout.install()
    checkout.project.write_text("[project]\nname = 'other'\n")
    checkout.codes = {"pip install": 1}
    with pytest.raises(SystemExit):
        checkout.install()
    assert not checkout.stamp.exists()


def test_an_environment_whose_python_is_gone_is_made_again(checkout):
    checkout.install()
    checkout.python.unlink()
    assert len(checkout.install()) == 2
    assert checkout.python.exists()


def test_it_never_removes_the_environment_that_it_runs_in(checkout, monkeypatch):
    checkout.install()
    checkout.stamp.unlink()
    mark = checkout.venv / "mark"
    mark.touch()
    monkeypatch.setattr(checkout.run.sys, "prefix", str(checkout.venv))
    assert any("pip install" in command for command in checkout.install())
    assert mark.exists()


@pytest.mark.parametrize("gone", ["ensurepip", "venv"])
def test_without_ensurepip_the_debian_package_is_named(checkout, monkeypatch, gone):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == gone else find_spec(name))
    with pytest.raises(SystemExit) as ended:
        checkout.install()
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    assert f"'apt install {package}'" in ended.value.code
    assert "\n" not in ended.value.code
    assert checkout.commands == []
    checkout.have_uv(True)  # which needs neither
    assert len(checkout.install()) == 2
