/*
 * annex-guest: PID 1 of a machine's virtual machine, and under the name annex-init the built-in init of an image that
 * has none, as annex-login what stands for a session in logind's list; and, started by the kernel, what loads its
 * modules. Whatever goes wrong ends in switching the virtual machine off: PID 1 must not end.
 */
#include "base/file.h"
#include "base/log.h"
#include "guest/autoload.h"
#include "guest/builtin.h"
#include "guest/guest.h"
#include "guest/logind.h"
#include "guest/module.h"
#include "guest/mount.h"
#include "guest/port.h"
#include "guest/program.h"
#include "guest/shutdown.h"
#include "guest/uevent.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>

enum { OPEN_FILES = 65536 };

/* Diagnostics go to the kernel's log, whose writers never wait. Every number below 3 is taken from here on. */
static void redirect_standard(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	for (int i = 0; i < 3; i++)
		dup2(i == 2 && log >= 0 ? log : null, i);
	if (null > 2)
		close(null);
	if (log > 2)
		close(log);
}

static void prepare_process(void)
{
	struct rlimit files = {OPEN_FILES, OPEN_FILES};
	auto_close int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	signal(SIGPIPE, SIG_IGN);
	reboot(RB_DISABLE_CAD);
	setrlimit(RLIMIT_NOFILE, &files);
	if (fd >= 0 && file_write_all(fd, "-1000", 5) < 0)
		log_info("the agent may be killed for memory");
}

/* Without the control port there is only the console to be heard on. */
static void tell_console(const struct annex_error *err)
{
	auto_close int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		dprintf(fd, "annex-guest: %s\n", annex_error_message(err));
}

static int run(bool *ret_disk_mounted, struct annex_error **err)
{
	auto_close int uevents = -1;
	struct guest *guest = NULL;
	int port = -1;

	uevents = uevent_open();
	if (uevents < 0)
		return fail_os(err, uevents, "cannot listen for devices");
	module_load_all();
	if (mount_agent(err) < 0)
		return -1;
	autoload_prepare();
	redirect_standard();
	prepare_process();
	adjusts_settle();
	if (port_open_control(&port, uevents, err) < 0 || guest_new(&guest, uevents, port, err) < 0)
		return -1;
	loop_run(guest->loop);
	*ret_disk_mounted = guest->disk_mounted;
	guest_free(guest);
	return 0;
}

int main(int argc, char **argv)
{
	auto_error struct annex_error *err = NULL;
	bool disk_mounted = false;

	if (argc > 0 && strcmp(argv[0], PROGRAM_BUILTIN) == 0)
		builtin_main(argc, argv);
	if (argc > 0 && strcmp(argv[0], AUTOLOAD_PROGRAM) == 0)
		return autoload_main(argc, argv);
	if (argc > 0 && strcmp(argv[0], LOGIND_PROGRAM) == 0)
		logind_main(argc, argv);
	if (getpid() != 1) {
		fprintf(stderr, "annex-guest: runs as the first process of a virtual machine only\n");
		return 2;
	}
	if (run(&disk_mounted, &err) < 0) {
		log_info("%s", annex_error_message(err));
		tell_console(err);
	}
	shutdown_power_off(disk_mounted);
}
