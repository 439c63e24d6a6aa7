#pragma once
#include "base/error.h"

/*
 * Make the host's time zone the machine's: the link /etc/localtime, and /etc/timezone where there is one or it is
 * Debian's. Only a zone that the image knows; what was set last is remembered, and as soon as the machine's owner has
 * chosen another, it is left alone. `root`: "", or a folder that stands for the machine's root.
 */
MUST_USE int timezone_set(const char *root, const char *zone, struct annex_error **err);
