#pragma once
#include "base/text.h"
#include "wire/message.h"

/*
 * What makes a machine feel like the host, and is set before its init starts: time zone, PATH of login shells, the
 * user's services. Runs with the disk as root; a machine without one of these is still a machine, so what goes wrong is
 * only logged. *ret_zone (the caller's) is what TZ has to be for init, "" for nothing. -ENOMEM.
 */
MUST_USE int settle_image(char **ret_zone, const struct message_config *config, bool systemd);

/* Of systemd: whoever has the user's id in the machine, under whatever name, has services of its own. Nothing if nobody
 * has it, whom the image's script may make yet. With the disk as root. */
MUST_USE int settle_user(const struct message_config *config, struct annex_error **err);
