#include "guest/uevent.h"

#include "base/time.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

int uevent_open(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
	auto_close int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int uevent_wait(int fd, uint64_t timeout_ms, int (*look)(void *data), void *data)
{
	uint64_t end = time_monotonic_ms() + timeout_ms, now;
	int result;

	while ((result = look(data)) == -ENOENT) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		char dropped[4096];

		now = time_monotonic_ms();
		if (now >= end)
			return -ETIMEDOUT;
		poll(&ready, 1, (int)(end - now));
		/* What they say does not matter, and that some were lost (ENOBUFS) neither: it is looked again. */
		while (recv(fd, dropped, sizeof(dropped), 0) > 0)
			;
	}
	return result;
}
