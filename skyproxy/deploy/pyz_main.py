"""The start of ``skyproxy.pyz``: whether this Python can run what is in it, then shiv's own start.

No line of this file is too new for an old Python, since it is there to refuse those: it has neither annotations nor
f-strings. It runs as ``__main__`` of the archive, beside ``needs.json``, which the build writes.
"""
# ruff: noqa: UP031, SIM105

import importlib
import json
import os
import platform
import sys
import sysconfig
import zipfile

OF_PYTHON = ("python", "threading", "bits", "platform")


def this_python():
    """What runs this, in the words of ``needs.json``."""
    here = {
        "python": "%s %d.%d" % (platform.python_implementation(), sys.version_info[0], sys.version_info[1]),
        "threading": "free" if sysconfig.get_config_var("Py_GIL_DISABLED") else "gil",
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "platform": sysconfig.get_platform(),
        "glibc": None,
    }
    if sys.platform == "darwin":
        # Elsewhere the name has the system's version in it, which need not be the same.
        here["platform"] = "macosx-" + platform.machine()
    try:
        here["glibc"] = [int(part) for part in os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")[:2]]
    except (AttributeError, ValueError, OSError, IndexError):
        pass  # Windows, macOS, musl
    return here


def fits(needs, here):
    """Whether what is in the archive runs *here*."""
    is_new_enough = not needs["glibc"] or (here["glibc"] or [0, 0]) >= needs["glibc"]
    return is_new_enough and all(needs[key] == here[key] for key in OF_PYTHON)


def described(each, with_glibc):
    """*each* for people."""
    text = each["python"] + (" without GIL" if each["threading"] == "free" else "")
    text += " on " + each["platform"] + (" (32 bits)" if each["bits"] == 32 else "")
    if with_glibc:
        text += " with glibc %d.%d" % tuple(each["glibc"]) if each["glibc"] else " without glibc"
    return text


def fail(text, *values):
    """End with a sentence."""
    sys.stderr.write("skyproxy: " + text % values + "\n")
    sys.exit(1)


def root():
    """The folder that it unpacks itself into: the user's own for caches."""
    if "SHIV_ROOT" in os.environ:
        return os.environ["SHIV_ROOT"]
    home = os.path.expanduser("~")
    if os.name == "nt":
        cache = os.environ.get("LOCALAPPDATA") or home
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    return os.path.join(cache, "skyproxy", "pyz")


def main():
    """Refuse, or start."""
    path = os.path.dirname(os.path.abspath(__file__))
    name = os.path.basename(path)
    with zipfile.ZipFile(path) as archive:
        needs = json.loads(archive.read("needs.json").decode("ascii"))
        build = json.loads(archive.read("environment.json").decode("utf-8"))
    here = this_python()
    needed = described(needs, needs["glibc"]) + (" or newer" if needs["glibc"] else "")
    if not fits(needs, here):
        # The library is named only where it is the reason.
        found = described(here, needs["glibc"] and all(needs[key] == here[key] for key in OF_PYTHON))
        fail(
            "%s is for %s, and this is %s: start it with the former, or install skyproxy with what is here (the guide "
            "for players tells how).", name, needed, found,
        )  # fmt: skip
    if sys.argv[1:2] == ["--version"]:
        sys.stdout.write("%s for %s\n" % (name, needed))
        sys.stdout.flush()
    os.environ["SHIV_ROOT"] = root()
    # Only now: these are not in old Pythons, or use what is not.
    bootstrap = importlib.import_module("_bootstrap")
    folder = importlib.import_module("pathlib").Path(os.environ["SHIV_ROOT"], name + "_" + build["build_id"])
    if not os.path.isdir(str(folder / "site-packages")):
        try:
            with zipfile.ZipFile(path) as archive:
                bootstrap.extract_site_packages(archive, folder, True)
        except OSError as error:
            fail(
                "%s unpacks itself once, into %s, and cannot (%s): name another folder in the variable SHIV_ROOT.",
                name, os.environ["SHIV_ROOT"], error.strerror or error,
            )  # fmt: skip
    bootstrap.bootstrap()


if __name__ == "__main__":
    main()
