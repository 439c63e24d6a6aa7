#pragma once
#include "base/error.h"

#include "share/request.h"
#include "share/root.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * A file system as the guest's kernel speaks to it: <linux/fuse.h>, protocol 7.31 and newer. The server holds shares
 * in a root folder, which come and go while it serves.
 */
#define FUSE_PAGES_LIMIT 256           /* of a request's contents */
#define FUSE_WRITE_LIMIT (1024 * 1024) /* the same in bytes */
#define FUSE_MINOR_LEAST 31

struct fuse_server;
struct fuse_options {
	bool writeback;  /* the guest may keep what it writes: nobody else changes the files meanwhile */
	uid_t guest_uid; /* who is the server's user in the guest */
	gid_t guest_gid;
	/* Which one it is of several that serve one file system together, each some of the shares: it is in all ids of
	 * nodes that this one gives. */
	uint16_t number;
	/* How many are held open as a rule, and twice as many of the guest's open files; 0: a part of the limit. */
	unsigned descriptors;
};

MUST_USE int fuse_new(struct fuse_server **ret, const struct fuse_options *options, struct annex_error **err);
void fuse_free(struct fuse_server *server); /* no call may be under way */
static inline void cleanup_fuse(struct fuse_server **server)
{
	fuse_free(*server);
}
#define auto_fuse CLEANUP(cleanup_fuse)

/* Any thread, any time. See root_add(); not found: there is no share of that name. What the guest still has of a share
 * that is removed is stale. */
MUST_USE int fuse_add_share(struct fuse_server *server, int fd, const struct share_options *options,
			    struct annex_error **err);
MUST_USE int fuse_remove_share(struct fuse_server *server, const char *name, struct annex_error **err);

bool fuse_has_share(struct fuse_server *server, const char *name);

/* Which server gave the id of a node. */
#define FUSE_NUMBER_SHIFT 48
static inline uint16_t fuse_number_of(uint64_t node)
{
	return (uint16_t)(node >> FUSE_NUMBER_SHIFT);
}

/*
 * Serves one request; several threads may. Bytes of the answer written to `out` (0: none, as of FORGET). -EAGAIN: it
 * waits for a lock that somebody holds, and is to be given again, unchanged, in a while; unless request->now says that
 * it can't: -ENOLCK then. -EPROTO: it is no FUSE, or leaves no room for an answer; the device is to be stopped. What is
 * FUSE but wrong is answered with an error. The thread parts with the process's umask and working folder.
 */
ssize_t fuse_serve(struct fuse_server *server, struct share_request *request);
