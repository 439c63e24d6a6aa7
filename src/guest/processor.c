/*
 * What QEMU adds is there but not used: udev's job, where there is one. What is used no more stays, and costs the host
 * nothing: its thread waits for ever.
 */
#include "guest/processor.h"

#include "base/file.h"
#include "base/text.h"
#include "guest/uevent.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FOLDER "/sys/devices/system/cpu"

enum { LIST_LIMIT = 8192 };

static bool add_range(struct processor_set *set, const char *first_text, const char *last_text)
{
	uint32_t first = 0, last = 0;

	if (text_to_u32(&first, first_text, 10) < 0 || text_to_u32(&last, last_text, 10) < 0 || last < first ||
	    last >= PROCESSOR_MAX)
		return false;
	for (; first <= last; first++) {
		set->count += !set->has[first];
		set->has[first] = true;
	}
	return true;
}

bool processor_parse(struct processor_set *ret, const char *list)
{
	struct processor_set set = {0};
	char copy[LIST_LIMIT], *at = copy, *range;

	if (strlen(list) >= sizeof(copy))
		return false;
	strcpy(copy, list);
	copy[strcspn(copy, "\n")] = '\0';
	if (*copy == '\0') {
		*ret = set;
		return true;
	}
	while ((range = strsep(&at, ","))) {
		const char *first = strsep(&range, "-");

		if (!add_range(&set, first, range ? range : first))
			return false;
	}
	*ret = set;
	return true;
}

static int read_set(struct processor_set *ret, const char *name, struct annex_error **err)
{
	auto_free char *path = path_join(FOLDER, name), *list = NULL;
	int result;

	if (!path)
		return fail_memory(err);
	result = file_read(&list, NULL, AT_FDCWD, path, LIST_LIMIT);
	if (result < 0)
		return fail_os(err, result, "cannot read %s", path);
	return processor_parse(ret, list) ? 0 : fail(err, ANNEX_ERROR_GUEST, "%s is no list of processors", path);
}

static int set_online(unsigned number, bool online)
{
	char path[64];
	auto_close int fd = -1;

	snprintf(path, sizeof(path), FOLDER "/cpu%u/online", number);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : file_write_all(fd, online ? "1" : "0", 1);
}

struct wish {
	uint64_t wanted, used;
	struct annex_error **err;
};

/* -ENOENT: not enough of them are there. */
static int look(void *data)
{
	struct wish *wish = data;
	struct processor_set present, online;
	int result;

	if (read_set(&present, "present", wish->err) < 0 || read_set(&online, "online", wish->err) < 0)
		return -EIO;
	wish->used = online.count;
	for (unsigned i = 0; i < PROCESSOR_MAX && wish->used < wish->wanted; i++) {
		if (!present.has[i] || online.has[i])
			continue;
		result = set_online(i, true);
		if (result == -ENOENT || result == -ENODEV) /* it is being added */
			continue;
		if (result < 0) {
			fail_os(wish->err, result, "processor %u can't be used", i);
			return -EIO;
		}
		wish->used++;
	}
	return wish->used < wish->wanted ? -ENOENT : 0;
}

/* The first one can't be spared on any machine. */
static int leave(struct wish *wish)
{
	struct processor_set online;
	int result = 0;

	if (read_set(&online, "online", wish->err) < 0)
		return -1;
	wish->used = online.count;
	for (unsigned i = PROCESSOR_MAX - 1; i > 0 && wish->used > wish->wanted; i--) {
		int left = online.has[i] ? set_online(i, false) : -ENOENT;

		wish->used -= left == 0;
		result = left < 0 && left != -ENOENT ? left : result;
	}
	if (wish->used <= wish->wanted)
		return 0;
	return fail_os(wish->err, result, "the machine's kernel does not give up its processors");
}

int processor_use(uint64_t *ret, uint64_t wanted, uint64_t timeout_ms, struct annex_error **err)
{
	auto_close int uevents = uevent_open();
	struct wish wish = {.wanted = wanted, .err = err};
	int result = 0;

	if (uevents < 0)
		return fail_os(err, uevents, "cannot listen for processors");
	result = uevent_wait(uevents, timeout_ms, look, &wish);
	if (result == -ETIMEDOUT)
		fail(err, ANNEX_ERROR_TIMEOUT, "the machine's kernel has not found the processors that were added");
	if (result == 0)
		result = leave(&wish);
	*ret = wish.used;
	return result < 0 ? -1 : 0;
}
