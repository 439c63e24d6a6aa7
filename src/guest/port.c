#include "guest/port.h"

#include "base/file.h"
#include "base/text.h"
#include "guest/uevent.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { CONTROL_TIMEOUT_MS = 120000 };

struct wanted {
	const char *name;
	int fd;
};

static bool is_port(int dir, const char *device, const char *wanted)
{
	auto_free char *name = NULL;
	char path[300];

	snprintf(path, sizeof(path), "%s/name", device);
	if (file_read(&name, NULL, dir, path, 4096) < 0)
		return false;
	name[strcspn(name, "\n")] = '\0';
	return strcmp(name, wanted) == 0;
}

static int look(void *data)
{
	DIR *folder = opendir("/sys/class/virtio-ports");
	struct wanted *wanted = data;
	struct dirent *entry;
	char path[300];
	int result = -ENOENT;

	while (folder && result == -ENOENT && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.' || !is_port(dirfd(folder), entry->d_name, wanted->name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		wanted->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		result = wanted->fd < 0 ? -errno : 0;
	}
	if (folder)
		closedir(folder);
	return result;
}

int port_open(int *ret, const char *name, int uevents, uint64_t timeout_ms, struct annex_error **err)
{
	struct wanted wanted = {.name = name, .fd = -1};
	int result = uevent_wait(uevents, timeout_ms, look, &wanted);

	if (result < 0)
		return fail_os(err, result, "cannot open the port %s", name);
	*ret = wanted.fd;
	return 0;
}

int port_open_control(int *ret, int uevents, struct annex_error **err)
{
	/* By now all modules are loaded: without it no port will ever come. */
	if (!file_exists(AT_FDCWD, "/sys/bus/virtio/drivers/virtio_console"))
		return fail(err, ANNEX_ERROR_UNSUPPORTED,
			    "the kernel has no driver for the control port (virtio_console)");
	return port_open(ret, PORT_NAME, uevents, CONTROL_TIMEOUT_MS, err);
}
