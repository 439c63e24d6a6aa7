"""examples/run-command, which uses the library and nothing else; test_vm.py of the integration tests runs the other."""

from annex_test import BUILD, for_everybody
from machines import BOOT


def test_run_command_starts_a_machine_and_runs_a_command(spare):
    spare.stop()
    program = for_everybody(BUILD / "examples" / "run-command", "libannex.so.0", "annex-supervisor", "annex-guest")
    result = spare.host.program([program, "spare", "sh", "-c", "echo from the machine; exit 5"], timeout=BOOT)
    assert (result.returncode, result.stdout) == (5, "from the machine\n"), result.stderr
    unknown = spare.host.program([program, "nobody", "true"])
    assert unknown.returncode == 125 and "nobody" in unknown.stderr
