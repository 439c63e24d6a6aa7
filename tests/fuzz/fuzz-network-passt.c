/* passt's stream, in pieces as long as the first byte says: whatever it is cut into, it is the same frames. */
#include "base/cleanup.h"
#include "network/passt.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	const uint8_t *at; /* where in the stream the next frame begins */
	size_t frames;
	bool gone;
};

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void deliver(const uint8_t *frame, size_t size, void *data)
{
	struct seen *seen = data;

	require(size >= PACKET_ETHERNET && size <= PACKET_MAX && !seen->gone);
	require(memcmp(seen->at + 4, frame, size) == 0);
	seen->at += 4 + size;
	seen->frames++;
}

static void on_gone(void *data)
{
	((struct seen *)data)->gone = true;
}

static const struct passt_callbacks callbacks = {.deliver = deliver, .on_gone = on_gone};

static void feed(struct seen *seen, const uint8_t *data, size_t size, size_t piece)
{
	struct loop *loop;
	struct passt *passt;
	int pair[2];

	require(loop_new(&loop) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	require(passt_new(&passt, loop, pair[1], &callbacks, seen) == 0);
	while (size > 0 && !seen->gone) {
		ssize_t sent = send(pair[0], data, size < piece ? size : piece, MSG_DONTWAIT | MSG_NOSIGNAL);

		require(sent > 0);
		data += sent;
		size -= (size_t)sent;
		while (loop_turn(loop, 0))
			;
	}
	passt_free(passt);
	loop_free(loop);
	close(pair[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = {.at = data + 1}, pieces = {.at = data + 1};

	if (size < 2)
		return 0;
	feed(&whole, data + 1, size - 1, size);
	feed(&pieces, data + 1, size - 1, (size_t)data[0] + 1);
	require(whole.frames == pieces.frames && whole.gone == pieces.gone);
	return 0;
}
