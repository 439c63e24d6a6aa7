#include "guest/program.h"

#include "base/file.h"
#include "base/inits.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

/* systemd's SIGRTMIN+4; what C libraries call SIGRTMIN lies above the kernel's, by two in glibc and three in musl. */
enum { SIGNAL_SYSTEMD_POWER_OFF = 34 + 4 };

static const struct program programs[] = {
	{"systemd", PROGRAM_STOP_SIGNAL, SIGNAL_SYSTEMD_POWER_OFF, true},
	{PROGRAM_BUILTIN, PROGRAM_STOP_SIGNAL, SIGTERM, false},
	{"busybox", PROGRAM_STOP_SIGNAL, SIGUSR2, false},
	{"busybox.static", PROGRAM_STOP_SIGNAL, SIGUSR2, false},
	{"openrc-init", PROGRAM_STOP_OPENRC, 0, false},
	{"runit", PROGRAM_STOP_RUNIT, SIGCONT, false},
	{"runit-init", PROGRAM_STOP_RUNIT, SIGCONT, false},
	{"s6-svscan", PROGRAM_STOP_SIGNAL, SIGTERM, false},
	{"s6-linux-init", PROGRAM_STOP_SIGNAL, SIGUSR1, false},
	{"dinit", PROGRAM_STOP_SIGNAL, SIGTERM, false},
	{"finit", PROGRAM_STOP_SIGNAL, SIGUSR2, false},
	{"init", PROGRAM_STOP_INITCTL, 0, false},
	{"sysvinit", PROGRAM_STOP_INITCTL, 0, false},
};

const struct program *program_find(const char *path)
{
	const char *name = path_name(path);

	for (size_t i = 0; i < COUNT_OF(programs); i++) {
		if (strcmp(programs[i].name, name) == 0)
			return &programs[i];
	}
	return NULL;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static int give(char **ret_path, char **ret_real, const char *path, struct annex_error **err)
{
	auto_free char *real = strcmp(path, PROGRAM_BUILTIN) == 0 ? strdup(path) : realpath(path, NULL);
	auto_free char *copy = strdup(path);

	if (!real && errno != ENOMEM)
		return fail_os(err, errno, "cannot resolve %s", path);
	if (!real || !copy)
		return fail_memory(err);
	*ret_path = TAKE(copy);
	*ret_real = TAKE(real);
	return 0;
}

int program_choose(char **ret_path, char **ret_real, bool *ret_is_command, const char *mode, const char *command,
		   struct annex_error **err)
{
	*ret_is_command = false;
	if (strcmp(mode, "builtin") == 0)
		return give(ret_path, ret_real, PROGRAM_BUILTIN, err);
	if (command && init_is_named_by(command) && is_program(command)) {
		*ret_is_command = true;
		return give(ret_path, ret_real, command, err);
	}
	for (const char *const *place = init_places; *place; place++) {
		if (is_program(*place))
			return give(ret_path, ret_real, *place, err);
	}
	if (strcmp(mode, "image") == 0) {
		fail(err, ANNEX_ERROR_GUEST, "the image has no init");
		return fail_hint(err, "annex set init=auto");
	}
	return give(ret_path, ret_real, PROGRAM_BUILTIN, err);
}
