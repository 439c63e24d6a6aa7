#include "rootfs/stop.h"

#include <stdint.h>
#include <sys/eventfd.h>

int stop_init(struct stop *stop)
{
	atomic_init(&stop->raised, false);
	stop->fd = eventfd(0, EFD_CLOEXEC);
	return stop->fd < 0 ? -errno : 0;
}

void stop_raise(struct stop *stop)
{
	uint64_t one = 1;

	atomic_store(&stop->raised, true);
	while (write(stop->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void stop_clear(struct stop *stop)
{
	cleanup_close(&stop->fd);
	stop->fd = -EBADF;
}
