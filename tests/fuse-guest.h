#pragma once
/*
 * A guest's kernel in a few lines: builds requests in memory, hands them to fuse_serve() and takes the answers apart.
 * Requests and answers lie in parts of odd sizes. Each test serves a temporary folder of its own as the share "files".
 * With ANNEX_TEST_CONFINED it is the real annex-share that serves, and tests that look into the server itself do
 * nothing.
 */
#include "test.h"

#include "confined.h"
#include "share/fuse.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define GUEST_PARTS  64
#define GUEST_BUFFER ((size_t)256 * 1024)
#define GUEST_USER   1000   /* the machine's user */
#define GUEST_NOBODY 65534u /* the server's user where it is not root */

struct guest {
	struct fuse_server *server;
	struct confined *confined; /* instead of it */
	char place[64];            /* the folder that is shared */
	int host;                  /* the same, open */
	uint64_t top;              /* its node */
	uint32_t uid, gid;         /* who asks */
	uint64_t unique;
	bool now;                      /* nothing may wait */
	struct fuse_out_header header; /* of the last answer */
	ssize_t result;                /* of fuse_serve() */
	size_t size;                   /* of what is behind the header */
	size_t room;                   /* for it, GUEST_BUFFER or less */
	char in[GUEST_BUFFER];
	char out[GUEST_BUFFER + 64];
};

#define ANSWER(guest, type) ((const type *)(const void *)((guest)->out + sizeof(struct fuse_out_header)))

static inline unsigned guest_parts(struct iovec parts[GUEST_PARTS], char *bytes, size_t size)
{
	static const size_t sizes[] = {7, 13, 40, 1, 64, 4096};
	unsigned count = 0;

	while (size > 0) {
		size_t n = count + 1 < GUEST_PARTS ? sizes[count % 6] : size;

		n = n < size ? n : size;
		parts[count++] = (struct iovec){bytes, n};
		bytes += n;
		size -= n;
	}
	return count;
}

static inline int guest_share(struct guest *guest, int fd, const struct share_options *options,
			      struct annex_error **err)
{
	return guest->confined ? confined_add(guest->confined, fd, options, err)
			       : fuse_add_share(guest->server, fd, options, err);
}

static inline int guest_unshare(struct guest *guest, const char *name)
{
	return guest->confined ? confined_remove(guest->confined, name, NULL)
			       : fuse_remove_share(guest->server, name, NULL);
}

static inline ssize_t guest_serve(struct guest *guest, struct share_request *request)
{
	return guest->confined ? bridge_serve(guest->confined->bridge, request) : fuse_serve(guest->server, request);
}

/* What lies in `in` goes to the server. */
static inline ssize_t guest_send(struct guest *guest, size_t size)
{
	struct iovec in[GUEST_PARTS], out[GUEST_PARTS];
	struct share_request request = {.in = in, .out = out, .now = guest->now};

	request.in_count = guest_parts(in, guest->in, size);
	request.out_count = guest_parts(out, guest->out, guest->room + sizeof(struct fuse_out_header));
	guest->result = guest_serve(guest, &request);
	guest->size = 0;
	if (guest->result > 0) {
		memcpy(&guest->header, guest->out, sizeof(guest->header));
		assert_int_equal(guest->header.len, guest->result);
		guest->size = (size_t)guest->result - sizeof(guest->header);
	}
	return guest->result;
}

struct bytes {
	const void *data;
	size_t size;
};

/* Returns the answer's error: 0 or -errno. */
static inline int guest_ask(struct guest *guest, uint32_t code, uint64_t node, struct bytes arguments,
			    struct bytes first, struct bytes second)
{
	const struct bytes all[] = {arguments, first, second};
	struct fuse_in_header header = {.opcode = code,
					.nodeid = node,
					.unique = ++guest->unique,
					.uid = guest->uid,
					.gid = guest->gid,
					.pid = 1,
					.len = sizeof(header)};
	char *at = guest->in + sizeof(header);

	for (size_t i = 0; i < 3; i++) {
		if (all[i].size)
			memcpy(at, all[i].data, all[i].size);
		at += all[i].size;
		header.len += (uint32_t)all[i].size;
	}
	memcpy(guest->in, &header, sizeof(header));
	if (guest_send(guest, header.len) <= 0)
		return (int)guest->result;
	assert_true(guest->header.unique == header.unique);
	return guest->header.error;
}

#define NOTHING       ((struct bytes){NULL, 0})
#define STRUCT(value) ((struct bytes){&(value), sizeof(value)})
#define NAME(name)    ((struct bytes){(name), strlen(name) + 1})

static inline int guest_lookup(struct guest *guest, uint64_t folder, const char *name, uint64_t *ret)
{
	int error = guest_ask(guest, FUSE_LOOKUP, folder, NOTHING, NAME(name), NOTHING);

	/* Nothing there, and worth remembering. */
	if (error == 0 && ANSWER(guest, struct fuse_entry_out)->nodeid == 0)
		error = -ENOENT;
	if (error == 0 && ret)
		*ret = ANSWER(guest, struct fuse_entry_out)->nodeid;
	return error;
}

/* The node at a path below the share, which must exist. */
static inline uint64_t guest_walk(struct guest *guest, const char *path)
{
	uint64_t node = guest->top;
	char name[NAME_MAX + 1];

	while (*path) {
		size_t size = strcspn(path, "/");

		memcpy(name, path, size);
		name[size] = '\0';
		assert_int_equal(guest_lookup(guest, node, name, &node), 0);
		path += size + (path[size] == '/');
	}
	return node;
}

static inline void guest_forget(struct guest *guest, uint64_t node, uint64_t lookups)
{
	struct fuse_forget_in in = {.nlookup = lookups};

	assert_int_equal(guest_ask(guest, FUSE_FORGET, node, STRUCT(in), NOTHING, NOTHING), 0);
	assert_int_equal(guest->result, 0);
}

static inline struct fuse_attr guest_attributes(struct guest *guest, uint64_t node)
{
	struct fuse_getattr_in in = {0};

	assert_int_equal(guest_ask(guest, FUSE_GETATTR, node, STRUCT(in), NOTHING, NOTHING), 0);
	return ANSWER(guest, struct fuse_attr_out)->attr;
}

static inline int guest_open(struct guest *guest, uint64_t node, uint32_t flags, uint64_t *ret)
{
	struct fuse_open_in in = {.flags = flags};
	int error = guest_ask(guest, FUSE_OPEN, node, STRUCT(in), NOTHING, NOTHING);

	if (error == 0)
		*ret = ANSWER(guest, struct fuse_open_out)->fh;
	return error;
}

static inline int guest_create(struct guest *guest, uint64_t folder, const char *name, uint32_t flags, uint32_t mode,
			       uint64_t *ret_node, uint64_t *ret_fh)
{
	struct fuse_create_in in = {.flags = flags | O_CREAT, .mode = S_IFREG | mode, .umask = 022};
	int error = guest_ask(guest, FUSE_CREATE, folder, STRUCT(in), NAME(name), NOTHING);
	const char *answer = guest->out + sizeof(struct fuse_out_header);

	if (error == 0 && ret_node)
		*ret_node = ((const struct fuse_entry_out *)(const void *)answer)->nodeid;
	if (error == 0)
		*ret_fh = ((const struct fuse_open_out *)(const void *)(answer + sizeof(struct fuse_entry_out)))->fh;
	return error;
}

static inline void guest_release(struct guest *guest, uint64_t node, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	assert_int_equal(guest_ask(guest, FUSE_RELEASE, node, STRUCT(in), NOTHING, NOTHING), 0);
}

static inline int guest_write(struct guest *guest, uint64_t node, uint64_t fh, uint64_t offset, const void *data,
			      size_t size)
{
	struct fuse_write_in in = {.fh = fh, .offset = offset, .size = (uint32_t)size};
	int error = guest_ask(guest, FUSE_WRITE, node, STRUCT(in), (struct bytes){data, size}, NOTHING);

	return error < 0 ? error : (int)ANSWER(guest, struct fuse_write_out)->size;
}

static inline int guest_read(struct guest *guest, uint64_t node, uint64_t fh, uint64_t offset, size_t size)
{
	struct fuse_read_in in = {.fh = fh, .offset = offset, .size = (uint32_t)size};
	int error = guest_ask(guest, FUSE_READ, node, STRUCT(in), NOTHING, NOTHING);

	return error < 0 ? error : (int)guest->size;
}

static inline int guest_mkdir(struct guest *guest, uint64_t folder, const char *name, uint32_t mode, uint64_t *ret)
{
	struct fuse_mkdir_in in = {.mode = mode, .umask = 022};
	int error = guest_ask(guest, FUSE_MKDIR, folder, STRUCT(in), NAME(name), NOTHING);

	if (error == 0 && ret)
		*ret = ANSWER(guest, struct fuse_entry_out)->nodeid;
	return error;
}

static inline int guest_setattr(struct guest *guest, uint64_t node, struct fuse_setattr_in in)
{
	return guest_ask(guest, FUSE_SETATTR, node, STRUCT(in), NOTHING, NOTHING);
}

static inline int guest_rename(struct guest *guest, uint64_t from, const char *name, uint64_t to, const char *new_name,
			       uint32_t flags)
{
	struct fuse_rename2_in in = {.newdir = to, .flags = flags};

	return guest_ask(guest, FUSE_RENAME2, from, STRUCT(in), NAME(name), NAME(new_name));
}

static inline int guest_link(struct guest *guest, uint64_t node, uint64_t folder, const char *name)
{
	struct fuse_link_in in = {.oldnodeid = node};

	return guest_ask(guest, FUSE_LINK, folder, STRUCT(in), NAME(name), NOTHING);
}

static inline int guest_remove(struct guest *guest, uint64_t folder, const char *name, bool is_folder)
{
	return guest_ask(guest, is_folder ? FUSE_RMDIR : FUSE_UNLINK, folder, NOTHING, NAME(name), NOTHING);
}

/* One answer of READDIR or READDIRPLUS: names into `names`, each with a slash behind it; returns the next offset. */
static inline uint64_t guest_list(struct guest *guest, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size,
				  bool plus, char *names)
{
	struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};
	size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
	const char *at = guest->out + sizeof(struct fuse_out_header), *end;

	assert_int_equal(guest_ask(guest, plus ? FUSE_READDIRPLUS : FUSE_READDIR, node, STRUCT(in), NOTHING, NOTHING),
			 0);
	assert_true(guest->size <= size);
	end = at + guest->size;
	while (at < end) {
		const struct fuse_dirent *entry = (const struct fuse_dirent *)(const void *)(at + head);

		strncat(names, entry->name, entry->namelen);
		strcat(names, "/");
		offset = entry->off;
		at += FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + entry->namelen);
	}
	assert_true(at == end);
	return offset;
}

static inline int guest_open_folder(struct guest *guest, uint64_t node, uint64_t *ret)
{
	struct fuse_open_in in = {.flags = O_DIRECTORY};
	int error = guest_ask(guest, FUSE_OPENDIR, node, STRUCT(in), NOTHING, NOTHING);

	if (error == 0)
		*ret = ANSWER(guest, struct fuse_open_out)->fh;
	return error;
}

static inline void guest_init(struct guest *guest)
{
	struct fuse_init_in in = {
		.major = FUSE_KERNEL_VERSION, .minor = 38, .max_readahead = 131072, .flags = UINT32_MAX};

	assert_int_equal(guest_ask(guest, FUSE_INIT, 0, STRUCT(in), NOTHING, NOTHING), 0);
	assert_int_equal(guest->size, sizeof(struct fuse_init_out));
	assert_int_equal(guest_lookup(guest, FUSE_ROOT_ID, "files", &guest->top), 0);
}

/* A server that runs as root, or as nobody if that can be chosen; its folder is its user's. */
static inline struct guest *guest_new(bool privileged, const struct share_options *options)
{
	static const struct share_options plain = {.name = "files"};
	struct guest *guest = calloc(1, sizeof(*guest));
	struct fuse_options fuse = {.guest_uid = GUEST_USER, .guest_gid = GUEST_USER, .descriptors = 128};

	assert_non_null(guest);
	guest->room = GUEST_BUFFER;
	/* Not in /tmp: extended attributes of users must be possible there. */
	strcpy(guest->place, "/var/tmp/annex-test-XXXXXX");
	assert_non_null(mkdtemp(guest->place));
	if (getenv("ANNEX_TEST_CONFINED"))
		guest->confined =
			confined_new(guest->place, geteuid() == 0 && !privileged ? GUEST_NOBODY : 0, GUEST_USER);
	if (geteuid() == 0 && !privileged) {
		assert_int_equal(chown(guest->place, GUEST_NOBODY, GUEST_NOBODY), 0);
		assert_int_equal(setegid(GUEST_NOBODY), 0);
		assert_int_equal(seteuid(GUEST_NOBODY), 0);
		prctl(PR_SET_DUMPABLE, 1); /* /proc/self is our own again */
	}
	guest->uid = geteuid() == 0 ? 0 : GUEST_USER;
	guest->gid = guest->uid;
	guest->host = open(guest->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(guest->host >= 0);
	if (!guest->confined)
		assert_int_equal(fuse_new(&guest->server, &fuse, NULL), 0);
	assert_int_equal(guest_share(guest, guest->host, options ? options : &plain, NULL), 0);
	if (guest->confined)
		confined_serve(guest->confined);
	guest_init(guest);
	return guest;
}

static inline void guest_free(struct guest *guest)
{
	fuse_free(guest->server);
	if (getuid() == 0) {
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(setegid(0), 0);
	}
	close(guest->host);
	if (guest->confined)
		confined_free(guest->confined);
	assert_int_equal(file_remove_tree(AT_FDCWD, guest->place), 0);
	free(guest);
}

/* How many descriptors this process has. */
static inline unsigned open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

/* Fixtures: the same test for both kinds of server. */
static inline int guest_set_up_user(void **state)
{
	*state = guest_new(false, NULL);
	return 0;
}

static inline int guest_set_up_root(void **state)
{
	*state = guest_new(true, NULL);
	return 0;
}

static inline int guest_tear_down(void **state)
{
	guest_free(*state);
	return 0;
}

#define AS_USER(test) cmocka_unit_test_setup_teardown(test, guest_set_up_user, guest_tear_down)
#define AS_BOTH(test)                                                                           \
	{#test " (as a user)", test, guest_set_up_user, guest_tear_down, NULL},                 \
	{                                                                                       \
#test " (as whoever runs this)", test, guest_set_up_root, guest_tear_down, NULL \
	}

static inline void host_write(const struct guest *guest, const char *path, const char *text)
{
	int fd = openat(guest->host, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static inline void host_expect(const struct guest *guest, const char *path, const char *text)
{
	char *read = NULL;
	size_t size;

	assert_int_equal(file_read(&read, &size, guest->host, path, 1 << 20), 0);
	assert_string_equal(read, text);
	free(read);
}

static inline struct stat host_stat(const struct guest *guest, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(guest->host, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static inline bool host_has(const struct guest *guest, const char *path)
{
	struct stat st;

	return fstatat(guest->host, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}
