"""Debian 12 with sysvinit and its scripts."""

import debian

INPUTS = ("debian.py",)


def inputs():
    return []


def build(layout, scratch):
    return debian.small(layout, scratch, "sysvinit-core,initscripts,sysv-rc")
