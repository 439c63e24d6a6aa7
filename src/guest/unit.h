#pragma once
#include "base/error.h"
#include "base/text.h"

/* The name of systemd's unit for what is mounted at an absolute path: "home-ada.mount". Pure. */
void unit_mount_name(struct text *out, const char *path);

/*
 * Keep systemd from unmounting it when it stops, while sessions, which are no units of it, still use it or have yet to
 * save there. `root`: of the machine. Does nothing where systemd is not what runs.
 */
MUST_USE int unit_keep_mounted(int root, const char *path);
