"""What the integration tests share."""

import pathlib
import shutil
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "images"))  # for `import oci`
sys.path.insert(0, str(TESTS))  # for `import annex_test`

import annex_test  # noqa: E402


def pytest_configure():
    annex_test.end_in_order()


@pytest.fixture(scope="session")
def test_image():
    """A function that returns the path of the OCI layout of a test image; each is made when first asked for."""
    return annex_test.image


@pytest.fixture(params=annex_test.accounts())
def host(request):
    """An empty host, as root and as an ordinary user; as the latter only where the suite is not root."""
    with annex_test.Host(annex_test.account(request.param)) as made:
        yield made


@pytest.fixture
def user_host():
    """An empty host of an ordinary user."""
    with annex_test.Host(annex_test.unprivileged()) as made:
        yield made


@pytest.fixture(scope="session")
def real_kernel(tmp_path_factory):
    """The distribution's kernel, and the tool that installed it."""
    import test_kernel  # not at the top: pytest must import it first

    tool = test_kernel.Tool(tmp_path_factory.mktemp("real") / "kernels")
    done = tool.run("install")
    if done.returncode != 0:
        pytest.skip(f"apt gives no kernel here: {done.stderr.strip()}")
    return tool


@pytest.fixture(scope="session")
def boot_agent(tmp_path_factory):
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is not installed")
    path = tmp_path_factory.mktemp("agent") / "agent"
    subprocess.run(["musl-gcc", "-static", "-Os", "-Wall", "-o", path, TESTS / "tools/boot-agent.c"], check=True)
    return path
