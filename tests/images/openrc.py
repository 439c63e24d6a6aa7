"""Debian 12 with OpenRC, which sysvinit runs."""

import debian

INPUTS = ("debian.py",)


def inputs():
    return []


def build(layout, scratch):
    return debian.small(layout, scratch, "sysvinit-core,openrc,initscripts")
