/*
 * The nodes of a machine's /dev. Besides what every program expects: what container engines and virtual machines inside
 * need, with the numbers that the kernel assigns for good, so that they are there before the driver is, which opening
 * them loads. Left out: the root disk and the control ports; and KVM's where the processor has no virtualization, since
 * programs take the node's presence for it.
 */
#include "guest/device.h"

#include "base/file.h"
#include "base/text.h"
#include "guest/autoload.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const struct node {
	const char *name;
	mode_t mode;
	unsigned major, minor;
} nodes[] = {
	{"null", S_IFCHR | 0666, 1, 3},
	{"zero", S_IFCHR | 0666, 1, 5},
	{"full", S_IFCHR | 0666, 1, 7},
	{"random", S_IFCHR | 0666, 1, 8},
	{"urandom", S_IFCHR | 0666, 1, 9},
	{"kmsg", S_IFCHR | 0644, 1, 11},
	{"tty", S_IFCHR | 0666, 5, 0},
	{"hwrng", S_IFCHR | 0600, 10, 183},
	{"net/tun", S_IFCHR | 0666, 10, 200},
	{"fuse", S_IFCHR | 0666, 10, 229},
	{"kvm", S_IFCHR | 0666, 10, 232},
	{"btrfs-control", S_IFCHR | 0600, 10, 234},
	{"mapper/control", S_IFCHR | 0600, 10, 236},
	{"loop-control", S_IFCHR | 0660, 10, 237},
	{"vhost-net", S_IFCHR | 0660, 10, 238},
	{"vhost-vsock", S_IFCHR | 0666, 10, 241},
};

static const char *const folders[] = {"net", "mapper"};

static const struct link {
	const char *name, *to;
} links[] = {
	{"ptmx", "pts/ptmx"},          {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"},
};

enum { LOOP_DEVICES = 16, LOOP_MAJOR = 7, CPUINFO_LIMIT = 16 << 20, CLOCK_LIMIT = 64 };

static bool has_virtualization(void)
{
	auto_free char *text = NULL;

	return file_read(&text, NULL, AT_FDCWD, "/proc/cpuinfo", CPUINFO_LIMIT) == 0 && autoload_kvm(text);
}

static int make_node(int dir, const struct node *node, struct annex_error **err)
{
	if (mknodat(dir, node->name, node->mode, makedev(node->major, node->minor)) < 0)
		return fail_os(err, errno, "cannot make /dev/%s", node->name);
	return 0;
}

/* The hardware's clock, for scripts that set it as a machine stops. Its number is not always the same. */
static int make_clock(int dir, struct annex_error **err)
{
	auto_free char *number = NULL;
	char *minor;
	uint32_t numbers[2] = {0};

	if (file_read(&number, NULL, AT_FDCWD, "/sys/class/rtc/rtc0/dev", CLOCK_LIMIT) < 0)
		return 0;
	number[strcspn(number, "\n")] = '\0';
	minor = number;
	if (text_to_u32(&numbers[0], strsep(&minor, ":"), 10) < 0 || !minor || text_to_u32(&numbers[1], minor, 10) < 0)
		return 0;
	return make_node(dir, &(struct node){"rtc0", S_IFCHR | 0600, numbers[0], numbers[1]}, err);
}

int device_make(const char *folder, struct annex_error **err)
{
	auto_close int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[16];

	if (dir < 0)
		return fail_os(err, errno, "cannot open %s", folder);
	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		if (mkdirat(dir, folders[i], 0755) < 0)
			return fail_os(err, errno, "cannot make /dev/%s", folders[i]);
	}
	for (size_t i = 0; i < COUNT_OF(nodes); i++) {
		if (strcmp(nodes[i].name, "kvm") == 0 && !has_virtualization())
			continue;
		if (make_node(dir, &nodes[i], err) < 0)
			return -1;
	}
	if (make_clock(dir, err) < 0)
		return -1;
	for (unsigned i = 0; i < LOOP_DEVICES; i++) {
		snprintf(name, sizeof(name), "loop%u", i);
		if (make_node(dir, &(struct node){name, S_IFBLK | 0660, LOOP_MAJOR, i}, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < COUNT_OF(links); i++) {
		if (symlinkat(links[i].to, dir, links[i].name) < 0)
			return fail_os(err, errno, "cannot make /dev/%s", links[i].name);
	}
	return 0;
}
