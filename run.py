"""Sets up the laboratory and starts it, from a plain Python and nothing else.

    python3 run.py lab [ARGUMENT ...]      open the notebooks in JupyterLab; arguments go to JupyterLab
    python3 run.py test [ARGUMENT ...]     run all tests; with arguments, pytest with these
    python3 run.py notebooks [NAME ...]    execute the notebooks, all or those named, and store their outputs
    python3 run.py bench [SUBJECT ...]     measure how fast the laboratory is, beside others in the same run

On Windows: py run.py lab
"""
# Standard library only, and nothing that Python 2.7 cannot parse:
# an older interpreter answers with a sentence, not with a syntax error.

import glob
import hashlib
import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)  # as in pyproject.toml
ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, *(["Scripts", "python.exe"] if os.name == "nt" else ["bin", "python"]))
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


def run(*command):
    """Exit code of the command. Ctrl-C reaches the command too; it may still say its last words."""
    with subprocess.Popen(command) as child:
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


def stamp():
    """What an installation depends on: the interpreter and the place on one line, the project on the next."""
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        project = hashlib.sha256(file.read()).hexdigest()
    return "Python " + sys.version.split()[0] + " in " + ROOT + "\n" + project + "\n"


def read_stamp():
    """The stamp of the last installation that succeeded, or nothing."""
    if not (os.path.exists(PYTHON) and os.path.exists(STAMP)):
        return ""
    with open(STAMP, encoding="utf-8") as file:
        return file.read()


def install():
    """Makes or mends .venv; does nothing if all is as it was when it last succeeded."""
    old, new = read_stamp(), stamp()
    if old == new:
        return
    uv = shutil.which("uv")
    if not uv:
        check_ensurepip()
    print("Setting up " + VENV + ": this takes a minute or two, and is done once.")
    sys.stdout.flush()
    inside = os.path.realpath(sys.prefix) == os.path.realpath(VENV)
    if os.path.exists(VENV) and not inside and old.split("\n")[0] != new.split("\n")[0]:
        remove(VENV)  # of another Python, moved, or half-made
    if os.path.exists(STAMP):
        os.remove(STAMP)  # an interrupted installation leaves none

    package = ["--editable", ".[lab,test]"]
    if uv:
        if not os.path.exists(PYTHON):
            must(uv, "venv", "--python", sys.executable, VENV)
        must(uv, "pip", "install", "--python", PYTHON, *package)
    else:
        must(sys.executable, "-m", "venv", VENV)  # also gives pip to an environment that uv made
        must(PYTHON, "-m", "pip", "install", "--no-compile", *package)  # in half the time
    with open(STAMP, "w", encoding="utf-8") as file:
        file.write(new)


def remove(folder):
    try:
        shutil.rmtree(folder)
    except OSError as error:
        sys.exit("Cannot remove " + folder + " (" + str(error) + "): end what uses it, and try again.")


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
    code = run(*command)
    if code:
        sys.stderr.write("The set-up failed, for the reason above; the same command tries again.\n")
        sys.exit(code)


def lab(arguments):
    become(PYTHON, "-m", "jupyterlab", "--LabApp.default_url=" + FIRST_PAGE, *arguments)


def test(arguments):
    if arguments:
        become(PYTHON, "-m", "pytest", *arguments)
    # Most tests wait, for a timer or a browser: two files at a time, in the order of their names.
    pytest = ["pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    steps = [["ruff", "check", "."], pytest + ["-p", "no:nbval", "tests"]]
    if glob.glob(os.path.join("notebooks", "*.ipynb")):
        steps.append(pytest + ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=120", "notebooks"])
    failed = [" ".join(step) for step in steps if run(PYTHON, "-m", *step)]
    if failed:
        sys.exit("Failed: " + "; ".join(failed))


def notebooks(names):
    become(PYTHON, os.path.join("notebooks", "store.py"), *names)


def bench(arguments):
    extra = ["--quiet", "--editable", ".[bench]"]  # what the laboratory is compared with
    uv = shutil.which("uv")
    if uv:
        must(uv, "pip", "install", "--python", PYTHON, *extra)
    else:
        must(PYTHON, "-m", "pip", "install", *extra)
    become(PYTHON, os.path.join("tests", "benchmarks"), *arguments)


def main(arguments):
    commands = {"lab": lab, "test": test, "notebooks": notebooks, "bench": bench}
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(__doc__.strip())
    elif arguments[0] not in commands:
        sys.stderr.write("Unknown command: " + arguments[0] + "\n\n" + __doc__.strip() + "\n")
        sys.exit(2)
    else:
        os.chdir(ROOT)
        install()
        commands[arguments[0]](arguments[1:])


if __name__ == "__main__":
    check_python(sys.version_info)
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
