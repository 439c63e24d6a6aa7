#include "share/further.h"

#include "confine/rights.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

static int open_memory(struct further *further, unsigned slots, struct annex_error **err)
{
	auto_close int fd = memfd_create("annex-bridge", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)slots * BRIDGE_SLOT_SIZE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return fail_os(err, errno, "cannot make memory for two processes");
	further->own_ends[0] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (further->own_ends[0] < 0)
		return fail_os(err, errno, "cannot make memory for two processes");
	further->own_count = 1;
	further->device_ends[0] = TAKE_FD(fd);
	further->device_count = 1;
	return 0;
}

static int open_bridge(struct further *further, unsigned slots, struct annex_error **err)
{
	int pair[2];

	if (open_memory(further, slots, err) < 0)
		return -1;
	while (further->own_count <= slots) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
			return fail_os(err, errno, "cannot make a socket");
		further->device_ends[further->device_count++] = pair[0];
		further->own_ends[further->own_count++] = pair[1];
	}
	return 0;
}

int further_new(struct further **ret, struct loop *loop, const char *program, uint16_t number, const char *name,
		unsigned slots, const struct peer_callbacks *callbacks, void *owner, struct annex_error **err)
{
	const struct peer_options options = {.program = program, .name = "annex-share"};
	struct further *further = calloc(1, sizeof(*further));

	if (!further)
		return fail_memory(err);
	further->owner = owner;
	further->number = number;
	further->name = strdup(name);
	if (!further->name)
		(void)fail_memory(err);
	else if (open_bridge(further, slots, err) == 0 &&
		 peer_start(&further->peer, loop, &options, callbacks, further, err) == 0)
		*ret = TAKE(further);
	if (!further)
		return 0;
	further_free(further);
	return -1;
}

void further_free(struct further *further)
{
	if (!further)
		return;
	peer_free(further->peer);
	rights_close(further->device_ends, &further->device_count);
	rights_close(further->own_ends, &further->own_count);
	free(further->name);
	free(further);
}
