"""What `make install` makes: programs that find each other wherever the tree is, and a library for others to use."""

import functools
import json
import os
import pathlib
import stat
import subprocess

import annex_test
import pytest

PROGRAM = """
#include <annex/annex.h>
#include <stdio.h>

int main(void)
{
	struct annex_context *context = NULL;
	struct annex_error *err = NULL;

	if (annex_context_new(&context, NULL, &err) < 0)
		fprintf(stderr, "%s\\n", annex_error_message(err));
	else
		puts(annex_version());
	annex_context_unref(context);
	annex_error_free(err);
	return 0;
}
"""


def make(*words):
    made = subprocess.run(["make", "--no-print-directory", "-C", annex_test.ROOT, *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


@functools.cache
def option(name):
    """An option of the build folder, as Meson has it."""
    listed = subprocess.run(["meson", "introspect", "--buildoptions", annex_test.BUILD], capture_output=True, text=True,
                            check=True)
    return next(row["value"] for row in json.loads(listed.stdout) if row["name"] == name)


def sanitizers():
    """What a program needs that links a library with sanitizers."""
    return [] if option("b_sanitize") == "none" else [f"-fsanitize={option('b_sanitize')}"]


@pytest.fixture(scope="module")
def tree():
    """A staged installation's prefix; everybody can enter it."""
    with annex_test.Host() as place:
        place.folder.chmod(0o755)
        make("install", f"BUILD={annex_test.BUILD}", f"DESTDIR={place.folder}/stage")
        yield place.folder / "stage" / option("prefix").lstrip("/")


def linked(host, program, **options):
    """The libannex that a program would be run with."""
    listed = host.program(["ldd", program], **options).stdout
    return os.path.realpath(next(line.split()[2] for line in listed.splitlines() if "libannex.so" in line))


def test_what_is_installed_is_known(tree):
    lib = option("libdir")
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}
    headers = {f"include/annex/{path.name}" for path in (annex_test.ROOT / "include/annex").glob("*.h")}
    programs = {"bin/annex", "libexec/annex/annex-supervisor", "libexec/annex/annex-guest",
                "libexec/annex/annex-unpack", "libexec/annex/annex-share", "libexec/annex/annex-network"}
    assert files == headers | programs | {
        f"{lib}/libannex.so.0", f"{lib}/libannex.so", f"{lib}/pkgconfig/annex.pc",
        "share/bash-completion/completions/annex", "share/zsh/site-functions/_annex",
        "share/fish/vendor_completions.d/annex.fish"}
    assert os.readlink(tree / lib / "libannex.so") == "libannex.so.0"
    for path in programs:
        assert stat.S_IMODE((tree / path).stat().st_mode) == 0o755


def test_a_staged_tree_runs_machines_by_itself(tree, user_host):
    annex = tree / "bin/annex"
    assert linked(user_host, annex) == str(tree / option("libdir") / "libannex.so.0")
    assert f"annex-guest in {tree}/libexec/annex\n" in user_host.program([annex, "doctor"]).stdout
    for words in (["kernel", "install", "--deb", annex_test.kernel_package()],
                  ["create", f"oci:{annex_test.image('busybox')}", "-n", "box"]):
        done = user_host.program([annex, *words], timeout=5 * annex_test.TIMEOUT)
        assert done.returncode == 0, done.stderr
    pid = json.loads(user_host.ok("inspect", "box"))[0]["supervisorPid"]
    assert os.readlink(f"/proc/{pid}/exe") == str(tree / "libexec/annex/annex-supervisor")
    result = user_host.program([annex, "run", "-n", "box", "--", "sh", "-c", "echo here; exit 3"])
    assert (result.returncode, result.stdout) == (3, "here\n"), result.stderr


def test_a_helper_that_is_missing_is_named(tree, user_host):
    copy = user_host.folder / "copy"
    subprocess.run(["cp", "-a", tree, copy], check=True)
    (copy / "libexec/annex/annex-guest").unlink()
    told = user_host.program([copy / "bin/annex", "doctor"]).stdout
    assert f"helper program {copy}/libexec/annex/annex-guest is missing\n" in told


def test_a_program_builds_with_pkg_config_and_runs(tree, user_host):
    source = user_host.file("version.c", PROGRAM)
    program = user_host.folder / "home" / "version"
    lib = tree / option("libdir")
    search = {"PKG_CONFIG_PATH": str(lib / "pkgconfig"),
              "PKG_CONFIG_SYSROOT_DIR": str(tree)[:-len(option("prefix"))]}
    flags = user_host.program(["pkg-config", "--cflags", "--libs", "annex"], env=search)
    assert flags.returncode == 0, flags.stderr
    built = user_host.program(["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", *sanitizers(), source, "-o", program,
                               *flags.stdout.split()])
    assert built.returncode == 0, built.stderr
    environment = {"LD_LIBRARY_PATH": str(lib)}
    assert linked(user_host, program, env=environment) == str(lib / "libannex.so.0")
    result = user_host.program([program], env=environment)
    version = user_host.program(["pkg-config", "--modversion", "annex"], env=search).stdout
    assert (result.stdout, result.stderr) == (version, "")


def test_make_install_takes_a_prefix_at_any_time():
    with annex_test.Host() as host:
        words = [f"BUILD={host.folder}/build", "SETUP=-Dtests=disabled -Doptimization=0 -Dlibdir=lib"]
        make(*words, f"PREFIX={host.folder}/first")
        make("install", *words, f"PREFIX={host.folder}/second")
        assert not (host.folder / "first").exists()
        tree = host.folder / "second"
        assert f"prefix={tree}\n" in (tree / "lib/pkgconfig/annex.pc").read_text()
        version = host.program([tree / "bin/annex", "version"])
        assert version.returncode == 0, version.stderr
        # The library's own place is what counts, and what was asked for where that says nothing.
        assert f"annex-guest in {tree}/libexec/annex\n" in host.program([tree / "bin/annex", "doctor"]).stdout
        assert pathlib.Path(linked(host, tree / "bin/annex")).parent == tree / "lib"
