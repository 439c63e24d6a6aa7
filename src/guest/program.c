#include "guest/program.h"

#include "base/file.h"
#include "base/inits.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* systemd's SIGRTMIN+4; what C libraries call SIGRTMIN lies above the kernel's, by two in glibc and three in musl. */
enum { COMMAND_MAX = 1 << 16 };
enum { SIGNAL_SYSTEMD_POWER_OFF = 34 + 4 };

static const struct program programs[] = {
	{"systemd", PROGRAM_STOP_SIGNAL, SIGNAL_SYSTEMD_POWER_OFF, PROGRAM_TELLS_BY_SOCKET},
	{PROGRAM_BUILTIN, PROGRAM_STOP_SIGNAL, SIGNAL_SYSTEMD_POWER_OFF, PROGRAM_TELLS_NOTHING},
	{"busybox", PROGRAM_STOP_SIGNAL, SIGUSR2, PROGRAM_HAS_TABLE},
	{"busybox.static", PROGRAM_STOP_SIGNAL, SIGUSR2, PROGRAM_HAS_TABLE},
	{"openrc-init", PROGRAM_STOP_OPENRC, 0, PROGRAM_IS_OPENRC},
	{"runit", PROGRAM_STOP_RUNIT, SIGCONT, PROGRAM_IS_RUNIT},
	{"runit-init", PROGRAM_STOP_RUNIT, SIGCONT, PROGRAM_IS_RUNIT},
	{"s6-svscan", PROGRAM_STOP_S6, SIGTERM, PROGRAM_IS_S6},
	{"s6-linux-init", PROGRAM_STOP_S6, SIGTERM, PROGRAM_IS_S6},
	{"dinit", PROGRAM_STOP_SIGNAL, SIGTERM, PROGRAM_TELLS_NOTHING},
	{"finit", PROGRAM_STOP_SIGNAL, SIGUSR2, PROGRAM_TELLS_NOTHING},
	{"init", PROGRAM_STOP_INITCTL, 0, PROGRAM_HAS_RUNLEVELS},
	{"sysvinit", PROGRAM_STOP_INITCTL, 0, PROGRAM_HAS_RUNLEVELS},
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

static bool is_applet(int root, int pid)
{
	auto_free char *words = NULL;
	size_t size = 0;
	char path[48];
	const char *name;

	snprintf(path, sizeof(path), "proc/%d/cmdline", pid);
	if (file_read(&words, &size, root, path, COMMAND_MAX) < 0)
		return false;
	name = path_name(words);
	if (text_starts(name, "busybox") && strlen(words) + 1 < size)
		name = path_name(words + strlen(words) + 1);
	return strcmp(name, "init") == 0 || strcmp(name, "linuxrc") == 0;
}

const struct program *program_of_process(int root, int pid)
{
	char path[48], real[PATH_MAX];
	const struct program *program;
	ssize_t length;

	snprintf(path, sizeof(path), "proc/%d/exe", pid);
	length = readlinkat(root, path, real, sizeof(real) - 1);
	if (length < 0)
		return NULL;
	real[length] = '\0';
	program = program_find(real);
	return program && program->readiness == PROGRAM_HAS_TABLE && !is_applet(root, pid) ? NULL : program;
}

bool program_is_systemd(const char *path)
{
	const struct program *program = program_find(path);

	return program && program->readiness == PROGRAM_TELLS_BY_SOCKET;
}

const char *program_container(const char *path)
{
	static const char *const openrc[] = {"/sbin/openrc", "/usr/sbin/openrc", "/sbin/openrc-init"};

	for (size_t i = 0; i < COUNT_OF(openrc); i++) {
		if (!program_is_systemd(path) && strcmp(path, PROGRAM_BUILTIN) != 0 && access(openrc[i], X_OK) == 0)
			return "systemd-nspawn";
	}
	return "annex";
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

/* An init that the image means to have, and can't: NULL, it can. */
static const char *why_not(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return lstat(path, &st) == 0 ? "a link to nothing" : "not there";
	if (S_ISDIR(st.st_mode))
		return "a folder";
	if (!S_ISREG(st.st_mode))
		return "no file";
	return access(path, X_OK) < 0 ? "not executable" : NULL;
}

static int refuse(const char *path, struct annex_error **err)
{
	const char *why = why_not(path);

	fail(err, ANNEX_ERROR_GUEST, "the image's init %s is %s", path, why ? why : "not what it was");
	return fail_hint(err, "annex set init=builtin");
}

int program_choose(char **ret_path, char **ret_real, bool *ret_is_command, const char *mode, const char *command,
		   struct annex_error **err)
{
	static const char usual[] = "/sbin/init"; /* at other places there may be folders of that name */
	const char *named = command && init_is_named_by(command) ? command : NULL;
	struct stat st;

	*ret_is_command = false;
	if (strcmp(mode, "builtin") == 0)
		return give(ret_path, ret_real, PROGRAM_BUILTIN, err);
	if (named && is_program(named)) {
		*ret_is_command = true;
		return give(ret_path, ret_real, named, err);
	}
	for (const char *const *place = init_places; *place; place++) {
		if (is_program(*place))
			return give(ret_path, ret_real, *place, err);
	}
	if (!named && lstat(usual, &st) == 0)
		named = usual;
	if (named)
		return refuse(named, err);
	if (strcmp(mode, "image") == 0) {
		fail(err, ANNEX_ERROR_GUEST, "the image has no init");
		return fail_hint(err, "annex set init=auto");
	}
	return give(ret_path, ret_real, PROGRAM_BUILTIN, err);
}
