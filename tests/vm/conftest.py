"""What the tests of real machines share."""

import pathlib
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "images"), str(TESTS / "vm")]


@pytest.fixture(scope="session")
def test_image():
    """A function that returns the path of the OCI layout of a test image; each is made when first asked for."""
    paths = {}

    def get(name):
        if name not in paths:
            made = subprocess.run([TESTS / "images" / "make", name], stdout=subprocess.PIPE, text=True, check=True)
            paths[name] = pathlib.Path(made.stdout.strip())
        return paths[name]

    return get
