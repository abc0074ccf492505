"""The package as a whole: who imports whom, what is public, what loading it costs, its own examples."""

import ast
import doctest
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lpws
from lpws.trace import NAMES, SIDES

HOME = Path(lpws.__file__).parent
#: A module imports only what stands above it.
ORDER = [
    *("trace", "specs", "outcome", "health", "run", "recordings", "decisions", "wire", "loopthread"),
    *("relay", "transports", "server", "jupyter", "address", "fleet", "services", "serving", "machine"),
    *("barrier", "measurement", "simulation", "crowd", "audience", "grid", "tables", "models", "figures"),
    *("liveview", "exercises", "notebook", "chat", "record", "doctor", "__main__"),
]
FILES = sorted(HOME.rglob("*.py"))
#: What the clients' process must not load, since the run would wait for it.
HEAVY = {"pandas", "matplotlib", "numpy", "IPython", "tqdm"}


def module_name(path):
    """As in ``lpws.transports.room``; a package has the name of its folder."""
    parts = path.relative_to(HOME.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = [module_name(path) for path in FILES]


def part(name):
    """The module of `ORDER` in which a module lies; None for the package itself."""
    return (name.split(".") + [None])[1]


def imported(path):
    """The parts of lpws that a file imports, wherever in the file."""
    package = path.relative_to(HOME.parent).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (part(alias.name) for alias in node.names if alias.name.split(".")[0] == "lpws")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            target = [*base, *(node.module or "").split(".")] if node.module else [*base]
            if target[0] == "lpws":
                yield from [target[1]] if len(target) > 1 else [alias.name for alias in node.names]


def python(code):
    """What a fresh Python prints, as lines; nothing may come on stderr."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


# ------------------------------------------------------------------- files have an encoding

ROOT = HOME.parent
SOURCES = [
    path
    for pattern in ("*.py", "*/**/*.py")
    for path in ROOT.glob(pattern)
    if not path.relative_to(ROOT).parts[0].startswith(".")
]


def without_encoding(source):
    """Line by line, the calls that read or write text in an encoding that depends on the machine."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if "encoding" in named or None in named:
            continue
        modes = [each.value for each in [*call.args, named.get("mode")] if isinstance(each, ast.Constant)]
        if (
            (name == "read_text" and not call.args)
            or (name == "write_text" and len(call.args) < 2)
            or (name in ("open", "NamedTemporaryFile") and {*modes} & {"r", "w", "a", "x", "r+", "w+"})
            or (isinstance(call.func, ast.Name) and name == "open" and len(call.args) == 1 and not named)
            or (name in ("run", "Popen", "check_output") and "text" in named)
        ):
            yield call.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_depends_on_the_encoding_of_the_machine(path):
    """ruff's PLW1514 sees only those of which it knows that they are files."""
    assert list(without_encoding(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_text_of_a_lesson_does(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert [source for source in sources if list(without_encoding(re.sub("(?m)^%.*", "", source)))] == []


def test_a_text_without_an_encoding_is_noticed():
    bad = """open(path)
open(path, "w")
path.read_text()
path.write_text(text)
subprocess.run(command, text=True)"""
    assert list(without_encoding(bad)) == [1, 2, 3, 4, 5]
    good = """open(path, "rb")
image.open()
path.read_text("utf-8")
path.read_text(encoding="utf-8")
path.read_bytes()
subprocess.run(command, encoding="utf-8")"""
    assert list(without_encoding(good)) == []


# ---------------------------------------------------------------------- who imports whom


def test_the_order_names_every_module():
    assert sorted(ORDER) == sorted({part(name) for name in MODULES} - {None})


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_down_the_order(path):
    own = part(module_name(path))
    if own is None:  # the package's own page loads names when they are used
        assert not list(imported(path))
        return
    allowed = {*ORDER[: ORDER.index(own)], own}
    assert set(imported(path)) <= allowed


def test_an_import_against_the_order_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "lpws" / "figures").mkdir(parents=True)
    file = tmp_path / "lpws" / "figures" / "bad.py"
    file.write_text(
        "from ..notebook import claim\nfrom .style import INK\nfrom .. import run\nimport lpws.server\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(sys.modules[__name__], "HOME", tmp_path / "lpws")
    assert list(imported(file)) == ["notebook", "figures", "run", "server"]


def circle(imports):
    """The modules that import each other in a circle; ``imports`` has, by module, those that it imports."""
    rest = {name: set(others) for name, others in imports.items()}
    while ends := [name for name, others in rest.items() if not others & rest.keys()]:
        for name in ends:
            del rest[name]
    return set(rest)


def neighbors(path):
    """The modules of its own folder that a file imports, wherever in the file, for a type alone too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]


FOLDERS = sorted({path.parent for path in FILES} - {HOME})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_inside_a_folder_nobody_imports_in_a_circle(folder):
    files = {path.stem: path for path in folder.glob("*.py")}
    assert circle({name: {*neighbors(path)} & files.keys() for name, path in files.items()}) == set()


def test_a_circle_is_noticed():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}
    assert circle({"a": {"b", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}) == set()


# ------------------------------------------------------------------------------------ size

#: Lines of code at most, without blank lines, comments and docstrings. The core is all that has no bound of
#: its own: from the trace to the tables and models, the notebook's few calls, the doctor.
MOST_LINES = {"core": 5353, "figures": 1800, "chat": 900, "services": 430}  # 30 of them for HTTP/2
#: The exercises grow with the lessons.
UNBOUNDED = {"exercises"}
HAVE_DOCSTRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(source):
    """Number of the lines of code in a source."""
    words = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, HAVE_DOCSTRINGS) and ast.get_docstring(node, clean=False) is not None:
            words |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(map(str.strip, source.splitlines()), 1)
    return sum(bool(line) and not line.startswith("#") and number not in words for number, line in lines)


def test_the_laboratory_stays_small():
    found = dict.fromkeys(MOST_LINES, 0)
    for path in FILES:
        place = part(module_name(path))
        if place not in UNBOUNDED:
            found[place if place in found else "core"] += code_lines(path.read_text(encoding="utf-8"))
    assert {place: lines for place, lines in found.items() if lines > MOST_LINES[place]} == {}
    assert min(found.values()) > 200  # so that the count itself is seen to work


def test_lines_of_code_are_counted():
    assert code_lines('"""What\n\nit is."""\n\nimport os  # a remark\n\n# another\nx = """a\nb"""\n') == 3


# ------------------------------------------------------------------------------ public names


@pytest.mark.parametrize("name", lpws.__all__)
def test_a_public_name(name):
    assert inspect.getdoc(getattr(lpws, name))
    assert name in dir(lpws)


def test_all_public_names():
    assert sorted(lpws.__all__) == dir(lpws)
    assert len(set(lpws.__all__)) == len(lpws.__all__)
    names = {}
    exec("from lpws import *", names)
    assert set(lpws.__all__) <= set(names)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match=r"module 'lpws' has no attribute 'long_polling'"):
        lpws.long_polling  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'long_polling'"):
        from lpws import long_polling  # noqa: F401


# ------------------------------------------------------------------------- what loading costs


@pytest.mark.parametrize("module", ["lpws", "lpws.fleet.fleet", "lpws.measurement"])
def test_light_modules_load_nothing_heavy(module):
    """The clients' process, and the kernel until it draws."""
    loaded = json.loads(python(f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))")[0])
    assert not HEAVY & set(loaded)
    assert module in loaded


def test_the_clients_process_loads_nothing_heavy():
    """The process itself, which reads an empty specification and says at its end what it has loaded."""
    code = """
import atexit, runpy, sys
atexit.register(lambda: print(*{name.partition('.')[0] for name in sys.modules}, sep='\\n'))
try:
    runpy.run_module('lpws.fleet', run_name='__main__')
except ValueError:
    pass
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")
    loaded = set(done.stdout.split())
    assert {"lpws", "picows", "httptools"} <= loaded
    assert not (HEAVY | {"tornado"}) & loaded


def test_the_servers_process_loads_none_of_the_clients_libraries():
    """A whole run, after which the kernel says what it has loaded."""
    code = """
import sys, lpws
for transport in (lpws.LongPolling(), lpws.SSE(), lpws.WebSocket()):
    run = lpws.measure(transport, lpws.Workload(clients=2, rate_hz=20, duration_s=0.2))
    assert any(event.name == 'message_received' for event in run.events)
print(*{name.partition('.')[0] for name in sys.modules}, sep='\\n')
"""
    loaded = set(python(code))
    assert {"lpws", "tornado"} <= loaded
    assert not {"picows", "httptools", "uvloop", "pandas", "matplotlib"} & loaded


@pytest.mark.parametrize("module", ["simulation", "tables", "models", "figures", "notebook"])
def test_what_draws_or_computes_loads_no_server(module):
    assert python(f"import sys, lpws.{module}; print('tornado' in sys.modules)") == ["False"]


def test_importing_prints_and_changes_nothing():
    code = """
import logging, random, threading
import matplotlib, numpy, pandas
def state():
    return random.getstate(), threading.active_count(), dict(matplotlib.rcParams), logging.root.handlers
before = state()
import lpws, lpws.measurement, lpws.figures, lpws.simulation
assert state() == before
"""
    assert python(code) == []
    # pyplot chooses how figures are shown, and so it is left to the first figure.
    assert python("import sys, lpws.figures; print('matplotlib.pyplot' in sys.modules)") == ["False"]


# --------------------------------------------------------------------------------- its words


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_the_examples_of_a_module(name):
    assert doctest.testmod(importlib.import_module(name), raise_on_error=False).failed == 0


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_module_says_what_it_is(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text
    assert text.splitlines()[0].endswith((".", "?"))


#: A question is no name: the first line of a docstring names a result, or is an imperative.
QUESTION = re.compile(r"(What|Whether|Who|Whom|Whose|When|Where|Why|How|Which|If|That)\b")


def documented(tree):
    """Every module, class and function that has a docstring: name, docstring."""
    for node in ast.walk(tree):
        if isinstance(node, HAVE_DOCSTRINGS) and (text := ast.get_docstring(node)):
            yield getattr(node, "name", "the module"), text


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_docstring_begins_with_a_result_or_an_imperative(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [(name, text.splitlines()[0]) for name, text in documented(tree) if QUESTION.match(text)] == []


def test_a_docstring_that_begins_with_a_question_is_noticed():
    tree = ast.parse('def f():\n    """Whether it is."""\n\ndef g():\n    """True if it is."""\n')
    assert [name for name, text in documented(tree) if QUESTION.match(text)] == ["f"]


@pytest.mark.parametrize("name", [name for name in lpws.__all__ if inspect.isfunction(getattr(lpws, name))])
def test_a_public_function_explains_its_parameters(name):
    """One that takes a single thing may say in its first line what that is."""
    function = getattr(lpws, name)
    parameters = inspect.signature(function).parameters
    parameters = [name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD]
    if len(parameters) > 1:
        _, _, section = inspect.getdoc(function).partition("Parameters\n----------\n")
        headings = re.findall(r"(?m)^\S.*$", section)
        assert [each for each in parameters if each not in re.findall(r"\w+", " ".join(headings))] == []


#: Words that American English spells otherwise.
BRITISH = re.compile(
    r"(?i:colour|centre|behaviour|favourite|neighbour|artefact|licence|labelled(?!by)|modelled|travelled"
    r"|(real|organ|recogn|normal|serial|initial|summar|minim|maxim|optim)is(e|ed|es|ing)\b|\bgrey\b)"
)
#: What stands in the name of a file for many.
WORDS = re.compile("NAME|NN")
MAPS = [ROOT / "README.md", *(each for folder in ("lpws", "tests") for each in (ROOT / folder).rglob("*.md"))]


@pytest.mark.parametrize("path", [*SOURCES, *MAPS], ids=lambda path: str(path.relative_to(ROOT)))
def test_spelling_is_american(path):
    if path.name != "test_package.py":  # which has the words themselves
        assert [found[0] for found in BRITISH.finditer(path.read_text(encoding="utf-8"))] == []


def test_another_spelling_is_noticed():
    found = BRITISH.finditer("a Grey centre, realised: gray, center, exercise")
    assert [each[0] for each in found] == ["Grey", "centre", "realised"]


@pytest.mark.parametrize("path", MAPS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_map_names_files_that_are_there(path):
    named = re.findall(r"`([\w/]+/|[\w/*]+\.(?:py|js))`", path.read_text(encoding="utf-8"))
    homes = path.parent, ROOT, ROOT / "lpws", ROOT / "tests", *(ROOT / "tests").glob("*/")
    missing = [each for each in named if not any(any(home.glob(WORDS.sub("*", each))) for home in homes)]
    assert missing == []


def test_events_have_the_names_of_the_table():
    recorded, words = set(), set()
    for path in FILES:
        if path.name == "trace.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.add(node.value)
            # An event is a tuple with its side in the third place, or the first argument of record(…).
            if isinstance(node, ast.Tuple) and len(node.elts) == 8:
                name, side = node.elts[1:3]
                if isinstance(side, ast.Constant) and side.value in SIDES and isinstance(name, ast.Constant):
                    recorded.add(name.value)
            if isinstance(node, ast.Call) and node.args and getattr(node.func, "attr", "") == "record":
                name = node.args[0]
                if isinstance(name, ast.Constant):
                    recorded.add(name.value)
    assert recorded <= set(NAMES)
    assert len(recorded) > len(NAMES) / 2  # so that the search itself is seen to work
    assert set(NAMES) <= words


@pytest.mark.parametrize("link", [None, lpws.Link(delay_s=0.002, cut_at_s=0.1)], ids=["loopback", "cut"])
def test_events_of_a_run_have_the_names_and_sides_of_the_table(link):
    work = lpws.Workload(clients=2, rate_hz=30, duration_s=0.2)
    run = lpws.measure(lpws.ShortPolling(interval_s=0.05), work, link)
    for event in map(lpws.Event._make, run.events):
        assert event.name in NAMES
        assert event.side in NAMES[event.name].partition(":")[0] or event.name == "opened"
        assert event.side in SIDES


def test_the_clock_is_common_to_all_processes():
    """Stamps of parent, child and parent again are in order."""
    code = "import lpws; print(repr(lpws.clock()))"
    for _ in range(3):
        before = lpws.clock()
        between = float(python(code)[0])
        assert before < between < lpws.clock()
