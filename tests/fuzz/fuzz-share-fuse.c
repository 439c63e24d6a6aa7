#include "base/file.h"

#include "share/bridge.h"
#include "share/fuse.h"
#include "share/router.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

/*
 * The input is a row of requests: operation, node, two bytes of length, and what stands behind the header. A node is
 * the number of one that the guest was told of (so are the nodes in arguments, where they are small numbers), since
 * ids can't be guessed. All of it happens in a temporary folder, where files can't grow large: first in a share of the
 * server that is asked, then once more in one that another server has, behind a bridge.
 */
#define NODES      16
#define FILE_LIMIT (2 << 20)
#define ROOM       4096

struct fuzz {
	struct fuse_server *server, *other;
	struct router *router;
	int bridge[2], far; /* memory and socket; the socket's other end */
	pthread_t thread;
	uint64_t nodes[NODES];
	unsigned count;
};

static void learn(struct fuzz *fuzz, uint32_t code, const char *answer, ssize_t size)
{
	const struct fuse_out_header *header = (const void *)answer;
	const struct fuse_entry_out *entry = (const void *)(answer + sizeof(*header));

	if (size < (ssize_t)(sizeof(*header) + sizeof(*entry)) || header->error)
		return;
	switch (code) {
	case FUSE_LOOKUP:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
	case FUSE_MKDIR:
	case FUSE_MKNOD:
	case FUSE_SYMLINK:
	case FUSE_LINK:
		fuzz->nodes[fuzz->count++ % NODES] = entry->nodeid;
		break;
	default:
		break;
	}
}

static void name_node(const struct fuzz *fuzz, char *arguments, size_t size, size_t at)
{
	uint64_t node;

	if (at + sizeof(node) > size)
		return;
	memcpy(&node, arguments + at, sizeof(node));
	if (node < NODES)
		memcpy(arguments + at, &fuzz->nodes[node], sizeof(node));
}

static void ask(struct fuzz *fuzz, uint32_t code, uint64_t node, const void *arguments, size_t size)
{
	struct fuse_in_header header = {.len = (uint32_t)(sizeof(header) + size),
					.opcode = code,
					.nodeid = node,
					.unique = 1,
					.uid = (uint32_t)node & 1};
	/* Exactly as large as it is, in two parts, so that a step too far is seen. */
	auto_free void *first = malloc(sizeof(header)), *second = malloc(size ? size : 1), *answer = malloc(ROOM);
	struct iovec parts[] = {{first, sizeof(header)}, {second, size}}, room = {answer, ROOM};
	struct share_request request = {.in = parts, .in_count = size ? 2 : 1, .out = &room, .out_count = 1};
	ssize_t result;

	if (!first || !second || !answer)
		return;
	memcpy(first, &header, sizeof(header));
	if (size)
		memcpy(second, arguments, size);
	if (code == FUSE_RENAME || code == FUSE_RENAME2 || code == FUSE_LINK)
		name_node(fuzz, second, size, 0);
	if (code == FUSE_COPY_FILE_RANGE)
		name_node(fuzz, second, size, 16);
	result = router_serve(fuzz->router, &request);
	assert(result >= -EPROTO && result <= ROOM);
	learn(fuzz, code, answer, result);
}

static void run(struct fuzz *fuzz, const uint8_t *data, size_t size)
{
	while (size >= 4) {
		size_t length = (size_t)data[2] | (size_t)data[3] << 8;
		uint32_t code = data[0];
		uint64_t node = fuzz->nodes[data[1] % NODES];

		data += 4;
		size -= 4;
		length = length < size ? length : size;
		ask(fuzz, code, node, data, length);
		data += length;
		size -= length;
	}
}

static ssize_t serve(struct share_request *request, void *data)
{
	return fuse_serve(data, request);
}

static void *serve_other(void *data)
{
	const struct fuzz *fuzz = data;
	const int fds[] = {fuzz->bridge[0], fuzz->far};

	assert(bridge_run(fds, 2, serve, fuzz->other, NULL) == 0);
	return NULL;
}

/* The other server, with the share "o". */
static void join(struct fuzz *fuzz, int fd, struct fuse_options *options)
{
	static const struct share_options share = {.name = "o"};
	int pair[2], result;

	options->number = 1;
	fuzz->bridge[0] = memfd_create("bridge", MFD_CLOEXEC);
	result = ftruncate(fuzz->bridge[0], BRIDGE_SLOT_SIZE);
	assert(result == 0);
	result = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	assert(result == 0);
	fuzz->bridge[1] = pair[0];
	fuzz->far = pair[1];
	if (fuse_new(&fuzz->other, options, NULL) < 0 || fuse_add_share(fuzz->other, fd, &share, NULL) < 0)
		abort();
	if (pthread_create(&fuzz->thread, NULL, serve_other, fuzz) != 0 ||
	    router_join(fuzz->router, 1, "o", fuzz->bridge, 2, NULL) < 0)
		abort();
}

static void leave(struct fuzz *fuzz)
{
	int result = router_leave(fuzz->router, 1, NULL);

	assert(result == 0);
	close(fuzz->bridge[1]);
	pthread_join(fuzz->thread, NULL);
	close(fuzz->far);
	close(fuzz->bridge[0]);
	fuse_free(fuzz->other);
}

static void run_there(struct fuzz *fuzz, const uint8_t *data, size_t size)
{
	unsigned before = fuzz->count;

	ask(fuzz, FUSE_LOOKUP, FUSE_ROOT_ID, "o", 2);
	if (fuzz->count == before)
		return; /* the session has ended */
	fuzz->nodes[1] = fuzz->nodes[before % NODES];
	fuzz->count = 3;
	run(fuzz, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const masks[] = {".ssh", "d/hidden", NULL};
	static const struct share_options options = {.name = "s", .masks = masks},
					  fixed = {.name = "r", .read_only = true};
	struct rlimit limit = {FILE_LIMIT, FILE_LIMIT};
	struct fuse_options fuse = {.guest_uid = 1, .guest_gid = 1, .writeback = size % 2};
	struct fuse_init_in init = {.major = 7, .minor = 38, .flags = UINT32_MAX};
	struct fuzz fuzz = {.nodes = {FUSE_ROOT_ID}, .count = 1};
	char folder[] = "/tmp/annex-fuzz-XXXXXX";
	int fd;

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (!mkdtemp(folder))
		return 0;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && fuse_new(&fuzz.server, &fuse, NULL) == 0 && router_new(&fuzz.router, fuzz.server, NULL) == 0) {
		join(&fuzz, fd, &fuse);
		if (fuse_add_share(fuzz.server, fd, &options, NULL) == 0 &&
		    fuse_add_share(fuzz.server, fd, &fixed, NULL) == 0) {
			ask(&fuzz, FUSE_INIT, 0, &init, sizeof(init));
			ask(&fuzz, FUSE_LOOKUP, FUSE_ROOT_ID, "s", 2);
			ask(&fuzz, FUSE_LOOKUP, FUSE_ROOT_ID, "r", 2);
			run(&fuzz, data, size);
			run_there(&fuzz, data, size);
		}
		leave(&fuzz);
		router_free(fuzz.router);
		fuse_free(fuzz.server);
	}
	if (fd >= 0)
		close(fd);
	if (file_remove_tree(AT_FDCWD, folder) < 0) {
		chmod(folder, 0700);
		if (file_remove_tree(AT_FDCWD, folder) < 0)
			perror(folder);
	}
	return 0;
}
