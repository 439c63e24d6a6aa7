"""What the shells complete, asked of real shells."""

import re
import subprocess

import pytest

from annex_test import ANNEX, Host, unprivileged


@pytest.fixture(scope="module")
def stocked(test_image):
    """A host with one image, and annex in PATH."""
    with Host(unprivileged()) as made:
        (made.folder / "bin").mkdir(mode=0o755)
        (made.folder / "bin" / "annex").symlink_to(ANNEX)
        made.env["PATH"] = f"{made.folder}/bin:{made.env['PATH']}"
        made.ok("image", "import", "--name", "tiny:1", f"oci:{test_image('busybox')}")
        made.file("some-file", "")
        (made.folder / "home" / "some-folder").mkdir(mode=0o755)
        yield made


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_parse(stocked, shell):
    script = stocked.ok("completion", shell)
    parsed = stocked.program([shell, "-n"], input=script)
    assert (parsed.returncode, parsed.stderr) == (0, "")


def complete(host, *words):
    """The candidates for the last word, without their descriptions."""
    return [line.split("\t")[0] for line in host.ok("__complete", "--", *words).splitlines()]


SETTINGS = subprocess.run([ANNEX, "set", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
SETTINGS = re.findall(r"^  ([a-z-]+) {2,}", SETTINGS.split("Settings:")[1], re.MULTILINE)

ANSWERS = [
    (["crea"], ["create"]),
    (["m", "crea"], ["create"]),
    (["im"], ["image"]),
    (["image", ""], ["pull", "import", "list", "inspect", "delete", "export", "prune", "login", "logout"]),
    (["network", ""], ["create", "list", "inspect", "delete"]),
    (["network", "delete", ""], ["default"]),
    (["network", "create", "--uplink", "p"], ["passt"]),
    (["create", "--network", ""], ["auto", "passt", "slirp", "none"]),
    (["set", "network=s"], ["network=slirp"]),
    (["hosts", "--r"], ["--remove"]),
    (["list", "--fo"], ["--format"]),
    (["list", "--format", ""], ["table", "json"]),
    (["list", "--format=j"], ["--format=json"]),
    (["create", "tin"], ["tiny:1"]),
    (["create", "oci-"], ["oci-archive:"]),
    (["create", "oci:x"], [":folders oci:"]),
    (["create", "-n", "x", "--no-boot", "tin"], ["tiny:1"]),
    (["create", "tiny:1", ""], []),
    (["image", "inspect", "tin"], ["tiny:1"]),
    (["image", "pull", "-q", "x", "tin"], ["tiny:1"]),
    (["pull", "--scheme=h"], ["--scheme=https", "--scheme=http"]),
    (["pull", "--progress", "j"], ["json"]),
    (["create", "--pull", ""], ["missing", "always", "never"]),
    (["image", "export", "-o", ""], [":files "]),
    (["save", "tin"], ["tiny:1"]),
    (["image", "prune", "--d"], ["--dry-run"]),
    (["df", "--format", ""], ["table", "json"]),
    (["run", "--env-file", ""], [":files "]),
    (["run", "--env-file=x"], [":files --env-file="]),
    (["run", "-it", "--wor"], ["--workdir"]),
    (["run", "ls", "--"], [":files "]),
    (["set", "mem"], ["memory="]),
    (["set", "init="], ["init=auto", "init=image", "init=builtin"]),
    (["set", "home-mount=r"], ["home-mount=rw", "home-mount=ro"]),
    (["set", "volume=so"], [":files volume="]),
    (["set", "volume=/usr:"], ["volume=/usr:/usr"]),
    (["set", "mask="], [":files mask="]),
    (["set", "cpus=", ""], [f"{key}=" for key in SETTINGS]),
    (["set", "cpus="], []),
    (["set", "nonsense="], []),
    (["mount", "so"], [":files "]),
    (["mount", "/usr", ""], ["/usr"]),
    (["mount", "-n", "x", "/usr/../usr/", "/u"], ["/usr"]),
    (["mount", "/usr", "/v"], []),
    (["mount", "/nowhere", ""], []),
    (["mount", "/usr", "/u:r"], ["/u:ro", "/u:rw"]),
    (["mount", "/usr", "/u:ro,cache=a"], ["/u:ro,cache=auto", "/u:ro,cache=always"]),
    (["mount", "/usr:"], ["/usr:/usr"]),
    (["mount", "/usr:/u:cache=n"], ["/usr:/u:cache=none"]),
    (["mount", "/usr", "/usr", ""], []),
    (["create", "-v", ""], [":files "]),
    (["create", "--volume=x"], [":files --volume="]),
    (["create", "--volume=/usr:"], ["--volume=/usr:/usr"]),
    (["run", "--forward-socket", "some"], [":files "]),
    (["run", "--no-s"], ["--no-ssh-agent"]),
    (["set", "ssh-agent="], ["ssh-agent=on", "ssh-agent=off"]),
    (["create", "--home-mount", ""], ["rw", "ro", "none"]),
    (["umount", "--f"], ["--force"]),
    (["umount", "-n", "nobody", ""], []),
    (["completion", "z"], ["zsh"]),
    (["help", "image", "imp"], ["import"]),
    (["nonsense", "x", ""], []),
    (["list", "--", "--"], []),
]


@pytest.mark.parametrize("words, answer", ANSWERS, ids=[" ".join(row[0]) for row in ANSWERS])
def test_answers(stocked, words, answer):
    assert complete(stocked, *words) == answer


class Shell:
    """An interactive shell, typed into. Its key Ctrl-G prints the line as it stands, between << and >>."""

    def __init__(self, host, argv, prepare):
        self.terminal = host.terminal(*argv, env={"PS1": "$ ", "INPUTRC": "/dev/null"}, size=(50, 200), timeout=20)
        for line in prepare:
            self.terminal.sendline(line)
        self.terminal.sendline("echo rea''dy")
        self.terminal.expect_exact("ready")

    def completed(self, typed):
        """The line after typing and a tab."""
        self.terminal.send(typed + "\t\x07")
        self.terminal.expect(r"<<([^\r\n]*)>>")
        return self.terminal.match[1]


# What is typed, and what the line is then.
LINES = [
    ("annex crea", "annex create "),
    ("annex image insp", "annex image inspect "),
    ("annex list --for", "annex list --format "),
    ("annex list --format=j", "annex list --format=json "),
    ("annex create tin", "annex create tiny:1 "),
    ("annex create tiny:", "annex create tiny:1 "),
    ("annex create --no-boot -n x tin", "annex create --no-boot -n x tiny:1 "),
    ("annex set mem", "annex set memory="),
    ("annex set cpus=2 mem", "annex set cpus=2 memory="),
    ("annex run --env-file some-fi", "annex run --env-file some-file "),
    ("annex run --env-file=some-fi", "annex run --env-file=some-file "),
    ("annex create oci:some-fo", "annex create oci:some-folder/"),
    ("annex set home-mount=n", "annex set home-mount=none "),
    ("annex set volume=some-fi", "annex set volume=some-file "),
    ("annex mount some-fi", "annex mount some-file "),
    ("annex mount /usr ", "annex mount /usr /usr "),
    ("annex mount /usr:", "annex mount /usr:/usr "),
    ("annex mount /usr /u:cache=n", "annex mount /usr /u:cache=none "),
    ("annex create --volume=/usr:/u:ro,cache=n", "annex create --volume=/usr:/u:ro,cache=none "),
    ("annex create -v some-fo", "annex create -v some-folder/"),
]


def test_bash_completes(stocked):
    shell = Shell(stocked, ["bash", "--norc", "--noprofile"],
                  ["bind 'set enable-bracketed-paste off'", "source <(annex completion bash)",
                   r"""bind -x '"\C-g": printf "\074\074%s\076\076\n" "$READLINE_LINE"; READLINE_LINE='"""])
    for typed, completed in LINES:
        assert shell.completed(typed) == completed


def test_zsh_completes(stocked):
    shell = Shell(stocked, ["zsh", "-f"],
                  ["autoload -Uz compinit && compinit -u", "unset zle_bracketed_paste", "source <(annex completion zsh)",
                   r"show() { printf '\r\n\074\074%s\076\076\r\n' $BUFFER; BUFFER=; }; zle -N show; bindkey '^G' show"])
    for typed, completed in LINES:
        assert shell.completed(typed) == completed


FISH = [
    ("annex crea", ["create"]),
    ("annex image ", ["pull", "import", "list", "inspect", "delete", "export", "prune", "login", "logout"]),
    ("annex create tin", ["tiny:1"]),
    ("annex set mem", ["memory="]),
    ("annex list --format=j", ["--format=json"]),
    ("annex run --env-file=some-fi", ["--env-file=some-file"]),
    ("annex create oci:some-fo", ["oci:some-folder/"]),
    ("annex set volume=some-fi", ["volume=some-file"]),
    ("annex mount /usr ", ["/usr"]),
    ("annex mount /usr:/u:cache=n", ["/usr:/u:cache=none"]),
]


@pytest.mark.parametrize("typed, answer", FISH, ids=[row[0] for row in FISH])
def test_fish_completes(stocked, typed, answer):
    script = stocked.file("annex.fish", stocked.ok("completion", "fish"))
    shown = stocked.program(["fish", "--no-config", "-c", f"source {script}; complete -C '{typed}'"])
    assert (shown.returncode, shown.stderr) == (0, "")
    assert sorted(line.split("\t")[0] for line in shown.stdout.splitlines()) == sorted(answer)
