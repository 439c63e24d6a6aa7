"""Debian 12 with runit, which runs the scripts of sysvinit."""

import debian

INPUTS = ("debian.py",)


def inputs():
    return []


def build(layout, scratch):
    return debian.small(layout, scratch, "runit-init")
