#pragma once
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Run `fn(&variable)` when the variable leaves scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Give up ownership: the variable keeps its cleanup but no longer its resource. */
#define TAKE(ptr)                               \
	__extension__({                         \
		__typeof__(ptr) taken_ = (ptr); \
		(ptr) = NULL;                   \
		taken_;                         \
	})
#define TAKE_FD(fd)                \
	__extension__({            \
		int taken_ = (fd); \
		(fd) = -EBADF;     \
		taken_;            \
	})

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

static inline void cleanup_free(void *slot)
{
	void **pointer = slot;

	free(*pointer);
}

static inline void cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

#define auto_free  CLEANUP(cleanup_free)
#define auto_close CLEANUP(cleanup_close)
