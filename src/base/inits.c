#include "base/inits.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <string.h>

const char *const init_places[] = {
	"/sbin/init",
	"/usr/sbin/init",
	"/etc/init",
	"/bin/init",
	"/usr/bin/init",
	"/lib/systemd/systemd",
	"/usr/lib/systemd/systemd",
	"/sbin/openrc-init",
	"/usr/sbin/openrc-init",
	"/sbin/runit-init",
	"/usr/bin/runit-init",
	"/usr/sbin/runit-init",
	"/bin/s6-linux-init",
	"/init",
	NULL,
};

/* Of the executable's file. An application that is a busybox is no init, so that name is not here. */
static const char *const names[] = {
	"init",    "systemd",   "sysvinit",      "openrc-init", "runit", "runit-init",
	"s6-init", "s6-svscan", "s6-linux-init", "dinit",       "finit",
};

bool init_is_named_by(const char *command)
{
	if (command[0] != '/')
		return false;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcmp(path_name(command), names[i]) == 0)
			return true;
	}
	return false;
}
