#pragma once
#include "registry/client.h"

/*
 * Blobs of one image on their way into descriptors (pipes): some at once, begun in the order given. A transfer that
 * breaks goes on from where it was, by range where the registry knows ranges; what a registry refuses or lacks is
 * asked of the next endpoint. Digests are for who reads the pipe to verify; sizes are held to here.
 */
#define DOWNLOAD_PARALLEL 4u

struct registry_download;
struct registry_blob {
	const char *digest;
	uint64_t size;
	const char *const *urls; /* of non-distributable layers: tried when the registry has not got it;
				    NULL-terminated, or NULL */
	int fd;           /* written to, made non-blocking; taken: closed when all of it was written, and at the end */
	const char *data; /* all of it, where the manifest embeds it; else NULL */
};

/* The descriptors are taken even on failure. Strings are copied; `data` must stay until the end. */
MUST_USE int registry_download_start(struct registry_download **ret, struct registry_client *client,
				     const struct reference *reference, const struct registry_blob *blobs, size_t count,
				     struct annex_error **err);
/* Moves data; blocks until something happened here or on `also_fd` (readable; -1: none), at most timeout_ms.
 * *ret_ended: all blobs were written. A pipe whose reader is gone (EPIPE) ends that blob silently: its reader knows
 * why. */
MUST_USE int registry_download_poll(struct registry_download *download, int also_fd, int timeout_ms, bool *ret_ended,
				    struct annex_error **err);
uint64_t registry_download_done(const struct registry_download *download, size_t blob); /* bytes received */
/* "waiting 5 s for ghcr.io (503 Service Unavailable)" while every blob that has its turn waits for another try, and
 * long enough to be worth telling; else NULL. The download's, until its next call. */
const char *registry_download_waiting(const struct registry_download *download);
void registry_download_free(struct registry_download *download);
static inline void cleanup_registry_download(struct registry_download **download)
{
	registry_download_free(*download);
}
#define auto_registry_download CLEANUP(cleanup_registry_download)
