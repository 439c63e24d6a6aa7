/* Each check looks at one thing of the host and adds what it finds; what can't be found out is a finding, too. */
#include "annex/doctor.h"

#include "base/file.h"
#include "base/spawn.h"
#include "base/text.h"
#include "confine/support.h"
#include "kernel/kernel.h"
#include "kernel/kmod.h"
#include "lib/autostart.h"
#include "machine/passt.h"
#include "qemu/accel.h"
#include "share/profile.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

static const uint64_t SPACE_NEEDED = 512ull << 20; /* a small image and its machine */
static const uint64_t SPACE_WANTED = 5ull << 30;   /* a few of the usual size */
enum { FILES_WANTED = 1024 };

#define PING_RANGE "/proc/sys/net/ipv4/ping_group_range"

struct findings {
	struct annex_context *context;
	struct annex_doctor_finding *list;
	size_t count;
	bool broken; /* out of memory */
};

/* Takes the hint, which may be NULL. */
static void add(struct findings *to, enum annex_doctor_level level, const char *subject, char *hint, const char *format,
		...) PRINTF_LIKE(5, 6);
static void add(struct findings *to, enum annex_doctor_level level, const char *subject, char *hint, const char *format,
		...)
{
	struct annex_doctor_finding *grown = reallocarray(to->list, to->count + 1, sizeof(*grown));
	char *text = NULL, *copy = strdup(subject);
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (grown)
		to->list = grown;
	if (!grown || !text || !copy) {
		to->broken = true;
		free(text);
		free(copy);
		free(hint);
		return;
	}
	to->list[to->count++] = (struct annex_doctor_finding){level, copy, text, hint};
}

static char *copy_hint(const char *hint)
{
	return hint ? strdup(hint) : NULL;
}

static void add_error(struct findings *to, enum annex_doctor_level level, const char *subject,
		      const struct annex_error *err)
{
	add(to, level, subject, copy_hint(annex_error_hint(err)), "%s", annex_error_message(err));
}

static void check_kvm(struct findings *to, const struct qemu_probe *probe)
{
	auto_qemu_kvm struct qemu_kvm kvm = {0};

	if (qemu_kvm_check(&kvm, "/dev/kvm", "/proc/cpuinfo") < 0) {
		to->broken = true;
		return;
	}
	if (kvm.boots && probe->program && !probe->kvm)
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "kvm", strdup("install the distribution's QEMU"),
		    "KVM works, but %s is built without it: machines are emulated, which is about 10 times slower",
		    probe->program);
	else if (kvm.boots)
		add(to, ANNEX_DOCTOR_GOOD, "kvm", NULL, "%s", kvm.reason);
	else
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "kvm", TAKE(kvm.hint),
		    "%s; machines are emulated, which is about 10 times slower", kvm.reason);
}

static void check_qemu(struct findings *to, struct qemu_probe *probe)
{
	auto_error struct annex_error *err = NULL;

	if (qemu_probe(probe, NULL, &err) < 0)
		add_error(to, ANNEX_DOCTOR_BROKEN, "qemu", err);
	else if (!probe->dgram)
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "qemu", strdup("install QEMU 7.2 or later"),
		    "QEMU %s (%s) can't pass frames on by a socket (-netdev dgram): only machines with network=none "
		    "run",
		    probe->version, probe->program);
	else if (!probe->sandbox)
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "qemu", strdup("install a QEMU that is built with seccomp"),
		    "QEMU %s (%s) runs without a sandbox", probe->version, probe->program);
	else
		add(to, ANNEX_DOCTOR_GOOD, "qemu", NULL, "QEMU %s (%s), sandboxed", probe->version, probe->program);
}

/* Sockets for ICMP echo are for the groups in a range, which is empty unless somebody has set it. */
static bool may_ping(const char *range)
{
	auto_free char *copy = strdup(range);
	char *last = copy;
	const char *first = copy ? strsep(&last, " \t") : NULL;
	gid_t groups[NGROUPS_MAX];
	int count = getgroups(NGROUPS_MAX, groups);
	uint32_t from, to;

	if (!last || text_to_u32(&from, first, 10) < 0)
		return false;
	last[strcspn(last, "\n")] = '\0';
	if (text_to_u32(&to, last + strspn(last, " \t"), 10) < 0)
		return false;
	for (int i = 0; i < count; i++) {
		if (groups[i] >= from && groups[i] <= to)
			return true;
	}
	return getegid() >= from && getegid() <= to;
}

static void check_network(struct findings *to)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *passt = NULL, *range = NULL;

	if (machine_passt_find(&passt, &err) == 0 && machine_passt_check(passt, &err) == 0)
		add(to, ANNEX_DOCTOR_GOOD, "network", NULL, "%s carries what machines send outside", passt);
	else
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "network", copy_hint(annex_error_hint(err)),
		    "%s: slirp carries what machines send outside", annex_error_message(err));
	if (file_read(&range, NULL, AT_FDCWD, PING_RANGE, 256) == 0 && !may_ping(range))
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "ping",
		    strdup("sudo sysctl -w net.ipv4.ping_group_range='0 2147483647'"),
		    "this host doesn't let you send ICMP echo: ping in machines gets no answer from outside");
}

static void check_kernel(struct findings *to)
{
	auto_error struct annex_error *err = NULL;
	auto_kernel struct kernel *kernel = NULL;
	auto_free char *folder = path_join(annex_context_data_folder(to->context), "kernels");
	const char *set = getenv("ANNEX_KERNEL");

	if (!folder) {
		to->broken = true;
		return;
	}
	if (kernel_open(&kernel, folder, set && *set ? set : NULL, &err) < 0)
		add(to, ANNEX_DOCTOR_BROKEN, "kernel",
		    strdup(annex_error_hint(err) ? annex_error_hint(err) : "annex kernel install"), "%s",
		    annex_error_message(err));
	else
		add(to, ANNEX_DOCTOR_GOOD, "kernel", NULL, "Linux %s", kernel->release);
}

/* Without it the indexes that modprobe in machines reads can't be made; what boots needs none. */
static void check_depmod(struct findings *to)
{
	auto_free char *depmod = kmod_find();

	if (depmod)
		add(to, ANNEX_DOCTOR_GOOD, "depmod", NULL, "%s, for modprobe in machines", depmod);
	else
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "depmod", strdup(KMOD_HINT),
		    "depmod is not installed: modprobe in machines does not find the kernel's modules");
}

/* The data folder, or the nearest one above it that exists already. */
static char *existing_folder(const char *path)
{
	char *folder = strdup(path), *slash;

	while (folder && access(folder, F_OK) < 0 && (slash = strrchr(folder, '/')) && slash > folder)
		*slash = '\0';
	return folder;
}

static void check_disk(struct findings *to)
{
	const char *data = annex_context_data_folder(to->context);
	auto_free char *folder = existing_folder(data);
	enum annex_doctor_level level = ANNEX_DOCTOR_GOOD;
	char size[TEXT_SIZE_BUFFER], *hint = NULL;
	struct statvfs st;
	uint64_t left;

	if (!folder || statvfs(folder, &st) < 0) {
		add(to, ANNEX_DOCTOR_BROKEN, "disk", NULL, "cannot look at %s: %s", data, strerror(errno));
		return;
	}
	if (access(folder, W_OK | X_OK) < 0) {
		add(to, ANNEX_DOCTOR_BROKEN, "disk", strdup("let XDG_DATA_HOME name a folder of yours"),
		    "%s may not be written to", folder);
		return;
	}
	left = (uint64_t)st.f_bavail * st.f_frsize;
	if (left < SPACE_WANTED) {
		level = left < SPACE_NEEDED ? ANNEX_DOCTOR_BROKEN : ANNEX_DOCTOR_COULD_BE_BETTER;
		hint = strdup("annex image list; annex image delete NAME");
	}
	add(to, level, "disk", hint, "%s left for %s", text_from_size(size, left), data);
}

static void check_limits(struct findings *to)
{
	struct rlimit files, file_size;
	char size[TEXT_SIZE_BUFFER];

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_FSIZE, &file_size) < 0) {
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "limits", NULL, "cannot look at the limits: %s", strerror(errno));
		return;
	}
	if (file_size.rlim_cur != RLIM_INFINITY)
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "limits", strdup("ulimit -f unlimited"),
		    "files may not grow past %s, and with them the machines' disks",
		    text_from_size(size, file_size.rlim_cur));
	if (files.rlim_cur < FILES_WANTED)
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "limits", strdup("ulimit -n 1024"),
		    "a process may open only %llu files", (unsigned long long)files.rlim_cur);
	else if (file_size.rlim_cur == RLIM_INFINITY)
		add(to, ANNEX_DOCTOR_GOOD, "limits", NULL, "%llu open files, files of any size",
		    (unsigned long long)files.rlim_cur);
}

static void check_helpers(struct findings *to)
{
	static const char *const names[] = {"annex-supervisor", "annex-unpack", "annex-share", "annex-network",
					    "annex-guest"};
	auto_free char *qemu_img = spawn_find("qemu-img");
	bool good = qemu_img != NULL;

	if (!qemu_img)
		add(to, ANNEX_DOCTOR_BROKEN, "helpers",
		    strdup("install qemu-img (Debian: apt-get install qemu-utils; Fedora, Arch: qemu-img)"),
		    "qemu-img, which makes the machines' disks, is not installed");
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		auto_error struct annex_error *err = NULL;
		auto_free char *path = NULL;

		if (context_helper(&path, to->context, names[i], &err) == 0)
			continue;
		good = false;
		add_error(to, ANNEX_DOCTOR_BROKEN, "helpers", err);
	}
	if (good)
		add(to, ANNEX_DOCTOR_GOOD, "helpers", NULL,
		    "%s, and annex-supervisor, annex-unpack, annex-share, annex-network and annex-guest in %s",
		    qemu_img, to->context->helpers);
}

/* Of the process that decodes layers. */
static void check_sandbox(struct findings *to)
{
	struct support has = support_probe();

	if (has.landlock > 0 && has.seccomp)
		add(to, ANNEX_DOCTOR_GOOD, "sandbox", NULL,
		    "layers are decoded under Landlock (ABI %d) and a filter of system calls (seccomp)", has.landlock);
	else if (has.seccomp)
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "sandbox",
		    strdup("use a kernel with Landlock, and name it in lsm= on its command line"),
		    "layers are decoded under a filter of system calls (seccomp), but without Landlock, which this "
		    "kernel has "
		    "not, or not switched on");
	else
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "sandbox", strdup("use a kernel with seccomp and Landlock"),
		    "layers are decoded %s, as this kernel has no seccomp",
		    has.landlock > 0 ? "under Landlock only" : "unconfined");
}

/* Of the process that serves the host's files to a machine. */
static void check_shares(struct findings *to)
{
	struct support has = support_probe();
	bool landlock = has.landlock >= SHARE_LANDLOCK_LEAST;

	if (landlock && has.seccomp)
		add(to, ANNEX_DOCTOR_GOOD, "shares", NULL,
		    "machines' files are served under Landlock (ABI %d) and a filter of system calls (seccomp)",
		    has.landlock);
	else if (landlock)
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "shares", strdup("use a kernel with seccomp"),
		    "machines' files are served under Landlock only, as this kernel has no seccomp");
	else
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "shares",
		    strdup("use Linux 5.19 or newer with Landlock, and name it in lsm= on its command line"),
		    "machines' files are served %s, without Landlock%s",
		    has.seccomp ? "under a filter of system calls (seccomp)" : "unconfined",
		    has.landlock > 0 ? ": that of this kernel could not rename from one folder into another"
				     : ", which this kernel has not, or not switched on");
}

static void check_machine(struct findings *to, struct annex_machine *machine, unsigned *count)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *problem = NULL, *hint = NULL;

	if (!machine->record.settings.autostart)
		return;
	if (autostart_problem(&problem, machine, &err) < 0) {
		add_error(to, ANNEX_DOCTOR_COULD_BE_BETTER, "autostart", err);
		return;
	}
	*count += !problem;
	if (!problem)
		return;
	if (asprintf(&hint, "annex set -n %s autostart=true", machine->record.name) < 0)
		hint = NULL;
	add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "autostart", TAKE(hint), "machine '%s' does not start by itself: %s",
	    machine->record.name, problem);
}

/* Units whose machines want to be started, and are there. */
static void check_autostart(struct findings *to)
{
	auto_error struct annex_error *err = NULL;
	auto_text_list struct text_list orphans = {0};
	struct annex_machine **machines = NULL;
	size_t machine_count = 0;
	unsigned count = 0;

	if (annex_machine_list(&machines, &machine_count, to->context, &err) < 0 ||
	    autostart_orphans(&orphans, to->context, &err) < 0) {
		annex_machine_list_free(machines, machine_count);
		add_error(to, ANNEX_DOCTOR_COULD_BE_BETTER, "autostart", err);
		return;
	}
	for (size_t i = 0; i < machine_count; i++)
		check_machine(to, machines[i], &count);
	annex_machine_list_free(machines, machine_count);
	for (size_t i = 0; i < orphans.count; i++) {
		auto_free char *hint = NULL;

		if (asprintf(&hint, "rm %s", orphans.items[i]) < 0)
			hint = NULL;
		add(to, ANNEX_DOCTOR_COULD_BE_BETTER, "autostart", TAKE(hint), "the machine of %s is gone",
		    orphans.items[i]);
	}
	if (count > 0)
		add(to, ANNEX_DOCTOR_GOOD, "autostart", NULL, "machines that systemd starts: %u", count);
}

API int annex_doctor(struct annex_doctor_finding **ret, size_t *ret_count, struct annex_context *context,
		     struct annex_error **err)
{
	auto_qemu_probe struct qemu_probe probe = {0};
	struct findings found = {.context = context};

	check_qemu(&found, &probe);
	check_kvm(&found, &probe);
	check_network(&found);
	check_kernel(&found);
	check_depmod(&found);
	check_disk(&found);
	check_limits(&found);
	check_helpers(&found);
	check_sandbox(&found);
	check_shares(&found);
	check_autostart(&found);
	if (found.broken) {
		annex_doctor_free(found.list, found.count);
		return fail_memory(err);
	}
	*ret = found.list;
	*ret_count = found.count;
	return 0;
}

API void annex_doctor_free(struct annex_doctor_finding *findings, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(findings[i].subject);
		free(findings[i].text);
		free(findings[i].hint);
	}
	free(findings);
}
