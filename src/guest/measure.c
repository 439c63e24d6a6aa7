/*
 * Asked for only while somebody looks, so it is cheap rather than exact: a few files of the kernel, read anew each
 * time. Of network interfaces only those with a device behind them count: what containers send goes through bridges and
 * pairs of virtual ones before it leaves.
 */
#include "guest/measure.h"

#include "base/file.h"
#include "base/text.h"
#include "base/time.h"
#include "guest/cgroup.h"
#include "guest/clock.h"
#include "guest/mount.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum { FILE_MAX = 16 << 10 };

/* "NAME:   123 kB" in bytes. */
static uint64_t field(const char *text, const char *name)
{
	size_t length = strlen(name), digits;
	uint64_t value = 0;

	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		auto_free char *number = NULL;

		if (strncmp(at, name, length) != 0 || at[length] != ':')
			continue;
		at += length + 1;
		at += strspn(at, " \t");
		digits = strspn(at, "0123456789");
		number = strndup(at, digits);
		if (!number || text_to_u64(&value, number, 10) < 0 || value > UINT64_MAX >> 10)
			return 0;
		return strncmp(at + digits, " kB", 3) == 0 ? value << 10 : value;
	}
	return 0;
}

void measure_memory(struct message_measured *ret, const char *meminfo)
{
	ret->memory_total = field(meminfo, "MemTotal");
	ret->memory_available = field(meminfo, "MemAvailable");
}

/* "0.52 0.58 0.59 1/467 12345": the first one. */
uint64_t measure_load(const char *loadavg)
{
	size_t whole = strspn(loadavg, "0123456789");
	auto_text struct text digits = {0};
	uint64_t value = 0;

	if (loadavg[whole] != '.' || strspn(loadavg + whole + 1, "0123456789") != 2)
		return 0;
	text_add_bytes(&digits, loadavg, whole);
	text_add_bytes(&digits, loadavg + whole + 1, 2);
	return text_ok(&digits) && text_to_u64(&value, digits.data, 10) == 0 ? value : 0;
}

/* The number that a file consists of. */
static uint64_t number_in(int dir, const char *path)
{
	auto_free char *text = NULL;
	uint64_t value = 0;

	if (file_read(&text, NULL, dir, path, 64) < 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return text_to_u64(&value, text, 10) == 0 ? value : 0;
}

static void take_memory(struct message_measured *ret)
{
	auto_free char *text = NULL;

	if (file_read(&text, NULL, AT_FDCWD, "/proc/meminfo", FILE_MAX) == 0)
		measure_memory(ret, text);
}

static void take_load(struct message_measured *ret)
{
	auto_free char *text = NULL;

	if (file_read(&text, NULL, AT_FDCWD, "/proc/loadavg", FILE_MAX) == 0)
		ret->load = measure_load(text);
}

static void take_disk(struct message_measured *ret)
{
	struct statvfs disk;

	if (statvfs(MOUNT_DISK, &disk) < 0 || disk.f_bfree > disk.f_blocks)
		return;
	ret->disk_size = (uint64_t)disk.f_blocks * disk.f_frsize;
	ret->disk_used = (uint64_t)(disk.f_blocks - disk.f_bfree) * disk.f_frsize;
}

static void take_interface(struct message_measured *ret, int dir, const char *name)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/device", name);
	if (name[0] == '.' || !file_exists(dir, path))
		return;
	snprintf(path, sizeof(path), "%s/statistics/rx_bytes", name);
	ret->received += number_in(dir, path);
	snprintf(path, sizeof(path), "%s/statistics/tx_bytes", name);
	ret->sent += number_in(dir, path);
}

static void take_network(struct message_measured *ret)
{
	DIR *folder = opendir("/sys/class/net");
	struct dirent *entry;

	for (unsigned seen = 0; folder && seen < MEASURE_INTERFACES_MAX && (entry = readdir(folder)); seen++)
		take_interface(ret, dirfd(folder), entry->d_name);
	if (folder)
		closedir(folder);
}

void measure_take(struct message_measured *ret)
{
	*ret = (struct message_measured){.disciplined = clock_is_disciplined()};
	take_memory(ret);
	take_load(ret);
	take_disk(ret);
	take_network(ret);
	ret->tasks = number_in(AT_FDCWD, CGROUP_MACHINE "/pids.current");
	ret->realtime_ns = time_realtime_ns(); /* last: the answer leaves now */
}
