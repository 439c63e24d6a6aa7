/*
 * Two sets of mounts. The agent's: what it needs itself. Its root is moved from the initramfs, which pivot_root refuses
 * to leave, to an empty tmpfs; the disk is mounted below that.
 *
 * The machine's, made anew for each start of its init, in a mount namespace that starts as a copy of the agent's: all
 * is mounted below the disk, which then becomes the root, and the agent's mounts are let go. /dev is a tmpfs with the
 * nodes of device.c rather than the kernel's devtmpfs: there is one devtmpfs for all, with the root disk and the
 * control port in it, and what one start of init leaves there the next would find. /sys is read-only, which tells
 * systemd that devices are not its business; the machine's own control groups below it can be written. What of the
 * host is shared comes last, on top of all of it, and is passed on to whatever the machine starts.
 */
#include "guest/mount.h"

#include "base/log.h"
#include "guest/device.h"
#include "guest/linger.h"
#include "guest/place.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct row {
	const char *type, *target, *options;
	unsigned long flags;
	mode_t mode; /* of the folder, where there is none */
};

#define SEALED (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static const struct row agent_rows[] = {
	{"proc", "/proc", NULL, SEALED, 0755},
	{"sysfs", "/sys", NULL, SEALED, 0755},
	{"devtmpfs", "/dev", "mode=0755", MS_NOSUID | MS_NOEXEC, 0755},
	{"devpts", "/dev/pts", "newinstance,ptmxmode=0600,mode=0600", MS_NOSUID | MS_NOEXEC, 0755},
	{"cgroup2", "/sys/fs/cgroup", NULL, SEALED, 0755},
};

static int mount_row(const struct row *row, struct annex_error **err)
{
	if (mkdir(row->target, row->mode) < 0 && errno != EEXIST)
		return fail_os(err, errno, "cannot make %s", row->target);
	if (mount(row->type, row->target, row->type, row->flags, row->options) < 0)
		return fail_os(err, errno, "cannot mount %s on %s", row->type, row->target);
	return 0;
}

int mount_agent(struct annex_error **err)
{
	static const struct row root = {"tmpfs", "/root", "mode=0755,size=16m", SEALED, 0755};

	/* Moving onto / is for good: nothing of the initramfs can be reached by path any more. */
	if (mount_row(&root, err) < 0)
		return -1;
	if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return fail_os(err, errno, "cannot leave the initramfs");
	for (size_t i = 0; i < COUNT_OF(agent_rows); i++) {
		if (mount_row(&agent_rows[i], err) < 0)
			return -1;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail_os(err, errno, "cannot make mounts private");
	if (mkdir(MOUNT_DISK, 0755) < 0)
		return fail_os(err, errno, "cannot make %s", MOUNT_DISK);
	return 0;
}

static const struct row machine_rows[] = {
	{"proc", "/proc", NULL, SEALED, 0755},
	{"sysfs", "/sys", NULL, SEALED | MS_RDONLY, 0755},
	{"cgroup2", "/sys/fs/cgroup", NULL, SEALED, 0755},
	{"tmpfs", "/dev", "mode=0755,size=4m,nr_inodes=64k", MS_NOSUID | MS_NOEXEC | MS_STRICTATIME, 0755},
	{"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV | MS_STRICTATIME, 01777},
	{"mqueue", "/dev/mqueue", NULL, SEALED, 0755},
	{"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV | MS_STRICTATIME, 0755},
};

/* A path for what a descriptor refers to. */
#define PATH_OF_FD 32
static const char *path_of(char buffer[PATH_OF_FD], int fd)
{
	snprintf(buffer, PATH_OF_FD, "/proc/self/fd/%d", fd);
	return buffer;
}

/* The image may lack the folder, or have a link in its place, which counts from its own root. */
static int mount_in_image(int root, const struct row *row, struct annex_error **err)
{
	auto_close int fd = -1;
	char path[PATH_OF_FD];

	if (place_make(&fd, root, row->target, false, err) < 0)
		return -1;
	if (mount(row->type, path_of(path, fd), row->type, row->flags, row->options) < 0)
		return fail_os(err, errno, "cannot mount %s on %s", row->type, row->target);
	return 0;
}

static int bind_terminal(int dev, const char *terminal, const char *name, struct annex_error **err)
{
	auto_close int fd = openat(dev, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char path[PATH_OF_FD];

	if (fd < 0 || mount(terminal, path_of(path, fd), NULL, MS_BIND, NULL) < 0)
		return fail_os(err, errno, "cannot make the terminal %s", name);
	return 0;
}

static int bind_terminals(int dev, const struct mount_options *options, struct annex_error **err)
{
	char name[16];
	const char *path;

	for (unsigned i = 0; (path = terminals_path(options->terminals, i)); i++) {
		snprintf(name, sizeof(name), "tty%u", i + 1);
		if (bind_terminal(dev, path, name, err) < 0)
			return -1;
	}
	return bind_terminal(dev, options->console, "console", err);
}

/* What tells software in the machine where it runs (https://systemd.io/CONTAINER_INTERFACE). */
static int write_run_host(int run, struct annex_error **err)
{
	auto_close int fd = -1;

	if (mkdirat(run, "host", 0755) < 0)
		return fail_os(err, errno, "cannot make /run/host");
	fd = openat(run, "host/container-manager", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0 || write(fd, "annex\n", 6) != 6)
		return fail_os(err, errno, "cannot write /run/host/container-manager");
	return 0;
}

/* On its first start systemd would ask for a time zone and a root password on the console, and wait for answers that
 * nobody can give. And since the kernel's modules are there, it would have kmod list device nodes, and load modules by
 * its library, which fails where the image has none. A link to /dev/null below /run masks a unit; whatever else a first
 * start does is done. */
#define KMOD_FILES 5u

static const struct masked {
	const char *unit;
	const char *unless[KMOD_FILES]; /* the image has one of these files */
} masked[] = {
	{"systemd-firstboot.service", {NULL}},
	{"systemd-homed-firstboot.service", {NULL}},
	{"kmod-static-nodes.service", {"/bin/kmod"}},
	{"systemd-modules-load.service",
	 {"/bin/kmod", "/lib/x86_64-linux-gnu/libkmod.so.2", "/lib/aarch64-linux-gnu/libkmod.so.2",
	  "/lib64/libkmod.so.2", "/lib/libkmod.so.2"}},
};

static bool image_has_one(int root, const char *const paths[KMOD_FILES])
{
	for (size_t i = 0; i < KMOD_FILES && paths[i]; i++) {
		auto_close int fd = place_open(root, paths[i]);

		if (fd >= 0)
			return true;
	}
	return false;
}

static int prepare_systemd(int root, int run, struct annex_error **err)
{
	static const char *const folders[] = {"systemd", "systemd/system"};
	auto_close int units = -1;
	char path[128];
	int result;

	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		if (mkdirat(run, folders[i], 0755) < 0)
			return fail_os(err, errno, "cannot make /run/%s", folders[i]);
	}
	for (size_t i = 0; i < COUNT_OF(masked); i++) {
		if (image_has_one(root, masked[i].unless))
			continue;
		snprintf(path, sizeof(path), "systemd/system/%s", masked[i].unit);
		if (symlinkat("/dev/null", run, path) < 0)
			return fail_os(err, errno, "cannot mask %s", masked[i].unit);
	}
	units = openat(run, "systemd/system", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	result = units < 0 ? -errno : linger_drop_in(units);
	return result < 0 ? fail_os(err, result, "cannot prepare the user's services") : 0;
}

/* A machine whose home can't be written, say, is one all the same. */
static void bind_units(const char *home)
{
	auto_close int disk = open(MOUNT_DISK, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int result = disk < 0 ? -errno : linger_bind_units(disk, home);

	if (result == -EXDEV)
		log_info("the user's units of systemd stay where a link leads out of the home");
	else if (result < 0)
		log_info("the user's units of systemd are those of the host: %s", strerror(-result));
}

static int enter_disk(struct annex_error **err)
{
	if (chdir(MOUNT_DISK) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return fail_os(err, errno, "cannot make the disk the root");
	/* As on any systemd machine: container engines want to pass mounts on to what they start. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
		return fail_os(err, errno, "cannot share mounts");
	return 0;
}

/* What is in the folders that were mounted. */
static int fill(int root, const struct mount_options *options, struct annex_error **err)
{
	auto_close int dev = place_open(root, "/dev"), run = place_open(root, "/run");
	char path[PATH_OF_FD];

	if (dev < 0 || run < 0)
		return fail_os(err, dev < 0 ? dev : run, "cannot open /dev and /run of the machine");
	if (device_make(path_of(path, dev), err) < 0 || bind_terminals(dev, options, err) < 0 ||
	    write_run_host(run, err) < 0)
		return -1;
	return options->systemd ? prepare_systemd(root, run, err) : 0;
}

int mount_machine(const struct mount_options *options, struct annex_error **err)
{
	auto_close int root = open(MOUNT_DISK, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char terminals[96];
	struct row pts = {"devpts", "/dev/pts", terminals, MS_NOSUID | MS_NOEXEC, 0755};

	/* An init may have made it read-only as it ended. */
	if (root < 0 || mount(NULL, MOUNT_DISK, NULL, MS_REMOUNT, NULL) < 0)
		return fail_os(err, errno, "cannot make the disk writable");
	umask(0);
	snprintf(terminals, sizeof(terminals), "newinstance,ptmxmode=0666,mode=0620,gid=%u", options->tty_gid);
	for (size_t i = 0; i < COUNT_OF(machine_rows); i++) {
		if (mount_in_image(root, &machine_rows[i], err) < 0)
			return -1;
	}
	if (mount_in_image(root, &pts, err) < 0 || fill(root, options, err) < 0)
		return -1;
	umask(022);
	if (shares_bind(options->shares, MOUNT_DISK, err) < 0)
		return -1;
	if (options->units_home)
		bind_units(options->units_home);
	return enter_disk(err);
}
