#pragma once
#include "share/handle.h"
#include "share/owner.h"
#include "share/request.h"

#include <linux/fuse.h>

/* One request of the guest while it is served. */
#define CALL_ARGUMENTS_LIMIT 128            /* bytes of a request's fixed part */
#define CALL_NAME_LIMIT      NAME_MAX       /* of an entry of a folder, or of an extended attribute */
#define CALL_TARGET_LIMIT    (PATH_MAX - 1) /* of a symbolic link */
#define CALL_PARTS_LIMIT     IOV_MAX        /* of a request */

/* A place in memory that is spread over parts. */
struct cursor {
	const struct iovec *part;
	size_t offset; /* in the part */
	size_t left;   /* bytes behind it, in all parts */
};

struct session {
	bool started;       /* FUSE_INIT was answered */
	bool writeback;     /* the guest keeps what is written, and may read what it opened for writing */
	bool long_setxattr; /* FUSE_SETXATTR_EXT */
};

struct fuse_server;
struct call {
	struct fuse_in_header header;
	union {
		char bytes[CALL_ARGUMENTS_LIMIT];
		uint64_t aligned;
	} arguments;
	char name[CALL_NAME_LIMIT + 1];
	char second[CALL_TARGET_LIMIT + 1]; /* new name, or target */
	struct cursor in;                   /* behind arguments and names */
	struct cursor out;                  /* behind the answer's header, and what was put there */
	size_t replied;                     /* bytes put there */
	int entered;         /* the descriptor whose folder is the thread's working folder; or negative */
	struct inode *inode; /* the header's; NULL for those that need none */

	struct fuse_server *server;
	struct inodes *inodes;
	struct handles *handles;
	struct root *root;
	const struct owners *owners;
	struct session session;
};

#define CALL_ARGUMENTS(call, type) ((const type *)(const void *)(call)->arguments.bytes)

struct cursor cursor_at(const struct iovec *parts, unsigned count);
/* Copies; less than `size` only at the end. */
size_t cursor_read(struct cursor *cursor, void *bytes, size_t size);
size_t cursor_write(struct cursor *cursor, const void *bytes, size_t size);
void cursor_skip(struct cursor *cursor, size_t size);
/* What is behind it as parts, at most `size` bytes; how many parts. */
unsigned cursor_parts(const struct cursor *cursor, struct iovec parts[CALL_PARTS_LIMIT], size_t size);
/* A string with its NUL: -EINVAL where there is none, -ENAMETOOLONG past the limit. */
MUST_USE int cursor_string(struct cursor *cursor, char *string, size_t limit);

/* Adds to the answer; -ERANGE if there is no room. */
MUST_USE int call_reply(struct call *call, const void *bytes, size_t size);
/* Whether it comes from the guest's root, for whom a mode closes nothing. */
bool call_is_root(const struct call *call);
/* A request's second object, which need not be of the same share: a reference. -errno. */
MUST_USE int call_second(struct inode **ret, const struct call *call, uint64_t id);
/* -EINVAL for what can be no name in a folder; -EACCES for one that is masked there. */
MUST_USE int call_check_name(const struct inode *folder, const char *name);
