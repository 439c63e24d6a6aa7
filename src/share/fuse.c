#include "share/fuse.h"

#include "share/attribute.h"
#include "share/contents.h"
#include "share/entry.h"
#include "share/folder.h"
#include "share/lock.h"
#include "share/name.h"
#include "share/opening.h"
#include "share/xattr.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

/*
 * One row per operation says what belongs to it: the size of its arguments, the strings behind them, and what has to
 * hold before the handler runs. Arguments and strings are copied out of the guest's memory once; only contents are
 * left there. Handlers add to the answer; the header in front of it is written last. A handler that fails has added
 * nothing that counts.
 */
enum strings {
	STRINGS_NONE,
	STRINGS_NAME,
	STRINGS_NAMES,  /* two */
	STRINGS_TARGET, /* a name, and where a link leads */
};

#define NO_INODE 1u   /* is about no object, or about more than one */
#define SILENT   2u   /* has no answer */
#define ROOT     4u   /* makes sense of the root folder too */
#define CHANGES  8u   /* is not for what is read-only */
#define PARTING  16u  /* is right even for what is no longer shared */
#define EARLY    32u  /* may come before FUSE_INIT */
#define WAITS    64u  /* -EAGAIN is not for the guest */
#define FOLDER   128u /* works on names in folders, and can be done again when one was closed to it */

struct operation {
	int (*handler)(struct call *call); /* NULL: not here */
	uint16_t size;
	uint8_t strings;
	uint8_t flags;
};

#define SESSION_STARTED       1u
#define SESSION_WRITEBACK     2u
#define SESSION_LONG_SETXATTR 4u

#define INTERRUPTS_LIMIT 64

/* Requests that the guest no longer waits for, the last ones. */
struct interrupts {
	pthread_mutex_t lock;
	uint64_t unique[INTERRUPTS_LIMIT];
	size_t next;
};

struct fuse_server {
	struct inodes *inodes;
	struct handles *handles;
	struct root *root;
	struct owners owners;
	bool writeback;
	_Atomic(unsigned) session;
	struct interrupts interrupts;
};

static int fuse_init(struct call *call);
static int fuse_destroy(struct call *call);
static int fuse_forget(struct call *call);
static int fuse_batch_forget(struct call *call);
static int fuse_interrupt(struct call *call);

/* clang-format off */
static const struct operation operations[] = {
	[FUSE_INIT] = {fuse_init, 16, STRINGS_NONE, NO_INODE | EARLY},
	[FUSE_DESTROY] = {fuse_destroy, 0, STRINGS_NONE, NO_INODE | EARLY},
	[FUSE_FORGET] = {fuse_forget, sizeof(struct fuse_forget_in), STRINGS_NONE, NO_INODE | SILENT | EARLY},
	[FUSE_BATCH_FORGET] = {fuse_batch_forget, sizeof(struct fuse_batch_forget_in), STRINGS_NONE,
			       NO_INODE | SILENT | EARLY},
	[FUSE_INTERRUPT] = {fuse_interrupt, sizeof(struct fuse_interrupt_in), STRINGS_NONE, NO_INODE | SILENT | EARLY},
	[FUSE_LOOKUP] = {entry_lookup, 0, STRINGS_NAME, ROOT | FOLDER},
	[FUSE_GETATTR] = {attribute_get, sizeof(struct fuse_getattr_in), STRINGS_NONE, ROOT},
	[FUSE_SETATTR] = {attribute_set, sizeof(struct fuse_setattr_in), STRINGS_NONE, CHANGES},
	[FUSE_STATFS] = {attribute_statfs, 0, STRINGS_NONE, ROOT},
	[FUSE_READLINK] = {name_readlink, 0, STRINGS_NONE, 0},
	[FUSE_SYMLINK] = {name_symlink, 0, STRINGS_TARGET, CHANGES | FOLDER},
	[FUSE_MKNOD] = {name_mknod, sizeof(struct fuse_mknod_in), STRINGS_NAME, CHANGES | FOLDER},
	[FUSE_MKDIR] = {name_mkdir, sizeof(struct fuse_mkdir_in), STRINGS_NAME, CHANGES | FOLDER},
	[FUSE_UNLINK] = {name_unlink, 0, STRINGS_NAME, CHANGES | FOLDER},
	[FUSE_RMDIR] = {name_rmdir, 0, STRINGS_NAME, CHANGES | FOLDER},
	[FUSE_RENAME] = {name_rename, sizeof(struct fuse_rename_in), STRINGS_NAMES, CHANGES | FOLDER},
	[FUSE_RENAME2] = {name_rename2, sizeof(struct fuse_rename2_in), STRINGS_NAMES, CHANGES | FOLDER},
	[FUSE_LINK] = {name_link, sizeof(struct fuse_link_in), STRINGS_NAME, CHANGES | FOLDER},
	[FUSE_OPEN] = {opening_open, sizeof(struct fuse_open_in), STRINGS_NONE, 0},
	[FUSE_CREATE] = {opening_create, sizeof(struct fuse_create_in), STRINGS_NAME, CHANGES | FOLDER},
	[FUSE_TMPFILE] = {opening_tmpfile, sizeof(struct fuse_create_in), STRINGS_NAME, CHANGES | FOLDER},
	[FUSE_FLUSH] = {opening_flush, sizeof(struct fuse_flush_in), STRINGS_NONE, ROOT | PARTING},
	[FUSE_RELEASE] = {opening_release, sizeof(struct fuse_release_in), STRINGS_NONE, ROOT | PARTING},
	[FUSE_READ] = {contents_read, sizeof(struct fuse_read_in), STRINGS_NONE, 0},
	[FUSE_WRITE] = {contents_write, sizeof(struct fuse_write_in), STRINGS_NONE, CHANGES},
	[FUSE_FSYNC] = {contents_sync, sizeof(struct fuse_fsync_in), STRINGS_NONE, 0},
	[FUSE_FALLOCATE] = {contents_allocate, sizeof(struct fuse_fallocate_in), STRINGS_NONE, CHANGES},
	[FUSE_LSEEK] = {contents_seek, sizeof(struct fuse_lseek_in), STRINGS_NONE, 0},
	[FUSE_COPY_FILE_RANGE] = {contents_copy, sizeof(struct fuse_copy_file_range_in), STRINGS_NONE, 0},
	[FUSE_IOCTL] = {contents_control, sizeof(struct fuse_ioctl_in), STRINGS_NONE, 0},
	[FUSE_SYNCFS] = {contents_sync_all, sizeof(struct fuse_syncfs_in), STRINGS_NONE, NO_INODE},
	[FUSE_OPENDIR] = {folder_open, sizeof(struct fuse_open_in), STRINGS_NONE, ROOT},
	[FUSE_READDIR] = {folder_read, sizeof(struct fuse_read_in), STRINGS_NONE, ROOT},
	[FUSE_READDIRPLUS] = {folder_read_plus, sizeof(struct fuse_read_in), STRINGS_NONE, ROOT},
	[FUSE_RELEASEDIR] = {folder_release, sizeof(struct fuse_release_in), STRINGS_NONE, ROOT | PARTING},
	[FUSE_FSYNCDIR] = {folder_sync, sizeof(struct fuse_fsync_in), STRINGS_NONE, ROOT},
	[FUSE_SETXATTR] = {xattr_set, sizeof(struct fuse_setxattr_in), STRINGS_NAME, CHANGES},
	[FUSE_GETXATTR] = {xattr_get, sizeof(struct fuse_getxattr_in), STRINGS_NAME, ROOT},
	[FUSE_LISTXATTR] = {xattr_list, sizeof(struct fuse_getxattr_in), STRINGS_NONE, ROOT},
	[FUSE_REMOVEXATTR] = {xattr_remove, 0, STRINGS_NAME, CHANGES},
	[FUSE_GETLK] = {lock_get, sizeof(struct fuse_lk_in), STRINGS_NONE, 0},
	[FUSE_SETLK] = {lock_set, sizeof(struct fuse_lk_in), STRINGS_NONE, 0},
	[FUSE_SETLKW] = {lock_set, sizeof(struct fuse_lk_in), STRINGS_NONE, WAITS},
};
/* clang-format on */

/* --- the session --- */

static void start_anew(struct fuse_server *server)
{
	atomic_store(&server->session, 0);
	handles_close_all(server->handles);
	inodes_forget_all(server->inodes);
}

static uint64_t offered(const struct fuse_server *server)
{
	uint64_t flags = FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DONT_MASK |
			 FUSE_FLOCK_LOCKS | FUSE_HAS_IOCTL_DIR | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
			 FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
			 FUSE_CACHE_SYMLINKS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_INIT_EXT;

	if (owners_same(&server->owners))
		flags |= FUSE_POSIX_ACL;
	return server->writeback ? flags | FUSE_WRITEBACK_CACHE : flags;
}

static int fuse_init(struct call *call)
{
	struct fuse_server *server = call->server;
	struct fuse_init_in in = {0};
	struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION};
	unsigned session = SESSION_STARTED;
	uint64_t flags;

	memcpy(&in, call->arguments.bytes, 16);
	cursor_read(&call->in, &in.flags2, sizeof(in) - 16);
	if (in.major > FUSE_KERNEL_VERSION)
		return call_reply(call, &out, sizeof(out)); /* it will ask again */
	if (in.major < FUSE_KERNEL_VERSION || in.minor < FUSE_MINOR_LEAST)
		return -EPROTO;
	start_anew(server);
	flags = in.flags & FUSE_INIT_EXT ? in.flags | (uint64_t)in.flags2 << 32 : in.flags;
	flags &= offered(server);
	if (flags & FUSE_WRITEBACK_CACHE)
		session |= SESSION_WRITEBACK;
	if (flags & FUSE_SETXATTR_EXT)
		session |= SESSION_LONG_SETXATTR;
	out.max_readahead = in.max_readahead;
	out.flags = (uint32_t)flags;
	out.flags2 = (uint32_t)(flags >> 32);
	out.max_background = 128;
	out.congestion_threshold = 96;
	out.max_write = FUSE_WRITE_LIMIT;
	out.time_gran = 1;
	out.max_pages = FUSE_PAGES_LIMIT;
	atomic_store(&server->session, session);
	return call_reply(call, &out, sizeof(out));
}

static int fuse_destroy(struct call *call)
{
	start_anew(call->server);
	return 0;
}

static int fuse_forget(struct call *call)
{
	inode_forget(call->inodes, call->header.nodeid, CALL_ARGUMENTS(call, struct fuse_forget_in)->nlookup);
	return 0;
}

static int fuse_batch_forget(struct call *call)
{
	uint32_t count = CALL_ARGUMENTS(call, struct fuse_batch_forget_in)->count;
	struct fuse_forget_one one;

	while (count-- > 0 && cursor_read(&call->in, &one, sizeof(one)) == sizeof(one))
		inode_forget(call->inodes, one.nodeid, one.nlookup);
	return 0;
}

static int fuse_interrupt(struct call *call)
{
	struct interrupts *interrupts = &call->server->interrupts;

	pthread_mutex_lock(&interrupts->lock);
	interrupts->unique[interrupts->next++ % INTERRUPTS_LIMIT] =
		CALL_ARGUMENTS(call, struct fuse_interrupt_in)->unique;
	pthread_mutex_unlock(&interrupts->lock);
	return 0;
}

static bool is_interrupted(struct interrupts *interrupts, uint64_t unique)
{
	bool found = false;

	pthread_mutex_lock(&interrupts->lock);
	for (size_t i = 0; i < INTERRUPTS_LIMIT && !found; i++) {
		found = interrupts->unique[i] == unique && unique != 0;
		if (found)
			interrupts->unique[i] = 0;
	}
	pthread_mutex_unlock(&interrupts->lock);
	return found;
}

/* --- one request --- */

static const struct operation *operation_of(uint32_t code)
{
	static const struct operation none = {.flags = NO_INODE};

	return code < COUNT_OF(operations) && operations[code].handler ? &operations[code] : &none;
}

static int read_arguments(struct call *call, const struct operation *operation)
{
	size_t size = operation->size;
	int result = 0;

	if (call->header.opcode == FUSE_SETXATTR && !call->session.long_setxattr)
		size = FUSE_COMPAT_SETXATTR_IN_SIZE;
	if (cursor_read(&call->in, call->arguments.bytes, size) < size)
		return -EINVAL;
	if (operation->strings != STRINGS_NONE)
		result = cursor_string(&call->in, call->name, CALL_NAME_LIMIT);
	if (result == 0 && operation->strings >= STRINGS_NAMES)
		result = cursor_string(&call->in, call->second,
				       operation->strings == STRINGS_TARGET ? CALL_TARGET_LIMIT : CALL_NAME_LIMIT);
	return result;
}

static int find_inode(struct call *call, const struct operation *operation)
{
	struct share *share;

	call->inode = inode_get(call->inodes, call->header.nodeid);
	if (!call->inode)
		return -ESTALE;
	share = call->inode->share;
	if (!share)
		return operation->flags & ROOT ? 0 : operation->flags & CHANGES ? -EROFS : -EINVAL;
	if (!(operation->flags & PARTING) && inode_check(call->inode) < 0)
		return -ESTALE;
	return share->read_only && operation->flags & CHANGES ? -EROFS : 0;
}

/* What root in the guest does in a folder that is closed to its owner. */
static int run_borrowed(struct call *call, const struct operation *operation)
{
	bool moves = call->header.opcode == FUSE_RENAME || call->header.opcode == FUSE_RENAME2;
	auto_inode struct inode *to = NULL;
	struct borrowed folder, target;
	int result = 0;

	if (!call->inode || !call->inode->share || call->inode->share->read_only)
		return -EACCES;
	if (moves)
		result = call_second(&to, call, CALL_ARGUMENTS(call, struct fuse_rename_in)->newdir);
	if (result < 0)
		return result;
	spot_borrow(&folder, call->inode);
	spot_borrow(&target, to ? to : call->inode);
	result = operation->handler(call);
	spot_give_back(&target);
	spot_give_back(&folder);
	return result;
}

static int run(struct call *call, const struct operation *operation)
{
	int result;

	if (!operation->handler)
		return -ENOSYS;
	if (!call->session.started && !(operation->flags & EARLY))
		return -EIO;
	result = read_arguments(call, operation);
	if (result == 0 && !(operation->flags & NO_INODE))
		result = find_inode(call, operation);
	if (result == 0)
		result = operation->handler(call);
	if (result == -EACCES && operation->flags & FOLDER && call_is_root(call) && !call->owners->real)
		result = run_borrowed(call, operation);
	inode_put(call->inode);
	return result;
}

static void set_up(struct call *call, struct fuse_server *server)
{
	unsigned session = atomic_load(&server->session);

	call->inode = NULL;
	call->replied = 0;
	call->entered = -EBADF;
	call->name[0] = call->second[0] = '\0';
	call->server = server;
	call->inodes = server->inodes;
	call->handles = server->handles;
	call->root = server->root;
	call->owners = &server->owners;
	call->session = (struct session){.started = session & SESSION_STARTED,
					 .writeback = session & SESSION_WRITEBACK,
					 .long_setxattr = session & SESSION_LONG_SETXATTR};
}

ssize_t fuse_serve(struct fuse_server *server, struct share_request *request)
{
	struct cursor answer = cursor_at(request->out, request->out_count);
	struct fuse_out_header out;
	const struct operation *operation;
	struct call call; /* large: set up piece by piece */
	int result;

	set_up(&call, server);
	call.in = cursor_at(request->in, request->in_count);
	call.out = answer;
	out.len = (uint32_t)call.in.left;
	if (cursor_read(&call.in, &call.header, sizeof(call.header)) < sizeof(call.header) ||
	    call.header.len != out.len)
		return -EPROTO;
	operation = operation_of(call.header.opcode);
	if (!(operation->flags & SILENT) && answer.left < sizeof(out))
		return -EPROTO;
	cursor_skip(&call.out, sizeof(out));
	result = run(&call, operation);
	if (operation->flags & SILENT)
		return 0;
	if (result == -EAGAIN && operation->flags & WAITS) {
		bool interrupted = is_interrupted(&server->interrupts, call.header.unique);

		if (!interrupted && !request->now)
			return -EAGAIN;
		/* The guest takes EINTR for its own signal, and hands it out wrongly if there was none. */
		result = interrupted ? -EINTR : -ENOLCK;
	}
	out = (struct fuse_out_header){.len = sizeof(out), .error = result, .unique = call.header.unique};
	if (result == 0)
		out.len += (uint32_t)call.replied;
	cursor_write(&answer, &out, sizeof(out));
	return out.len;
}

/* --- the server --- */

/* A quarter of what there may be. */
static unsigned descriptors_for_inodes(unsigned wanted)
{
	struct rlimit limit;

	if (wanted)
		return wanted;
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1u << 20 ? (unsigned)limit.rlim_cur / 4
										  : 1u << 18;
}

int fuse_new(struct fuse_server **ret, const struct fuse_options *options, struct annex_error **err)
{
	auto_fuse struct fuse_server *server = calloc(1, sizeof(*server));
	unsigned descriptors = descriptors_for_inodes(options->descriptors);

	if (!server)
		return fail_memory(err);
	pthread_mutex_init(&server->interrupts.lock, NULL);
	server->writeback = options->writeback;
	server->owners = owners_here(options->guest_uid, options->guest_gid);
	if (inodes_new(&server->inodes, (uint64_t)options->number << FUSE_NUMBER_SHIFT, descriptors, err) < 0 ||
	    handles_new(&server->handles, 2 * descriptors, err) < 0 || root_new(&server->root, err) < 0)
		return -1;
	*ret = TAKE(server);
	return 0;
}

void fuse_free(struct fuse_server *server)
{
	if (!server)
		return;
	handles_free(server->handles);
	inodes_free(server->inodes);
	root_free(server->root);
	pthread_mutex_destroy(&server->interrupts.lock);
	free(server);
}

int fuse_add_share(struct fuse_server *server, int fd, const struct share_options *options, struct annex_error **err)
{
	return root_add(server->root, fd, options, err);
}

bool fuse_has_share(struct fuse_server *server, const char *name)
{
	auto_share struct share *share = root_find(server->root, name);

	return share != NULL;
}

int fuse_remove_share(struct fuse_server *server, const char *name, struct annex_error **err)
{
	auto_share struct share *share = root_remove(server->root, name);

	if (!share)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no share '%s'", name);
	handles_close_share(server->handles, share);
	pin_close_share(server->inodes, share);
	share_close(share, share->fd);
	return 0;
}
