#pragma once
#include "base/error.h"

#include "share/request.h"

/*
 * A virtio-fs device (VIRTIO 1.2, section 5.11) as a vhost-user back end: queues, memory and threads, between a virtual
 * machine and who serves its requests.
 */
#define DEVICE_TAG_LIMIT 36 /* bytes, without a NUL */

struct device_options {
	unsigned queues; /* request queues besides the high-priority one; at least one, at most VHOST_QUEUE_LIMIT - 1 */
	unsigned workers; /* threads: at least one, at most WORKERS_LIMIT */
	/* Of the file system, for front ends that ask for the configuration. NULL: this one knows it, as QEMU's
	 * vhost-user-fs does, which warns of devices that offer to tell. */
	const char *tag;
	/* Called from workers, several at once. Bytes of the answer (0: none); -EAGAIN, with nothing written or
	 * changed, when it has to wait for others: it is served again in a while; any other -errno when it is no
	 * request: then the device stands still until the machine resets it. */
	ssize_t (*serve)(struct share_request *request, void *data);
	void *data;
};

/* Speaks vhost-user over a connected Unix socket, until the other side closes it (0) or breaks the protocol (-1). Takes
 * the socket. Blocks; when it returns, no request is under way any more, and no thread of its own is left. */
MUST_USE int device_run(int socket, const struct device_options *options, struct annex_error **err);
