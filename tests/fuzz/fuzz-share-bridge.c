/*
 * What one side of a bridge says to the other. The first byte tells which: packets to who serves, each with two bytes
 * in front that say how long it is; or the answer that the device's side gets.
 */
#include "share/bridge.h"
#include "confine/rights.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

/* Touches the first and the last byte of what is given. */
static void touch(const struct iovec *part)
{
	volatile char *bytes = part->iov_base;

	if (part->iov_len == 0)
		return;
	bytes[0] ^= 1;
	bytes[part->iov_len - 1] ^= 1;
}

static ssize_t serve(struct share_request *request, void *data)
{
	(void)data;
	if (request->in_count > 0)
		touch(&request->in[0]);
	if (request->out_count == 0)
		return 0;
	touch(&request->out[0]);
	return (ssize_t)request->out[0].iov_len;
}

static void check_server(const int fds[2], int other, const uint8_t *data, size_t size)
{
	auto_error struct annex_error *err = NULL;
	unsigned packets = 0;

	while (size > 2 && packets++ < 32) {
		size_t length = (data[0] | (size_t)data[1] << 8) % 64;

		data += 2;
		size -= 2;
		length = length < size ? length : size;
		if (length > 0 && rights_send(other, data, length, NULL, 0, MSG_DONTWAIT) < 0)
			break;
		data += length;
		size -= length;
	}
	require(shutdown(other, SHUT_WR) == 0);
	require(bridge_run(fds, 2, serve, NULL, &err) == 0 || err);
}

static void check_device(const int fds[2], int other, const uint8_t *data, size_t size)
{
	struct bridge *bridge = NULL;
	char request[100] = {0}, answer[200];
	struct iovec in = {request, sizeof(request)}, out = {answer, sizeof(answer)};
	const struct share_request whole = {.in = &in, .in_count = 1, .out = &out, .out_count = 1};
	ssize_t result;

	require(bridge_open(&bridge, fds, 2, NULL) == 0);
	if (size > 0)
		require(rights_send(other, data, size < 64 ? size : 64, NULL, 0, MSG_DONTWAIT) > 0);
	require(shutdown(other, SHUT_WR) == 0);
	result = bridge_serve(bridge, &whole);
	require(result == -EIO || result == -EAGAIN || result == -EPROTO ||
		(result >= 0 && result <= (ssize_t)sizeof(answer)));
	bridge_free(bridge);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_close int memory = memfd_create("bridge", MFD_CLOEXEC), one = -1, other = -1;
	int pair[2];

	if (size == 0)
		return 0;
	require(memory >= 0 && ftruncate(memory, BRIDGE_SLOT_SIZE) == 0);
	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	one = pair[0];
	other = pair[1];
	if (data[0] & 1)
		check_server((const int[]){memory, one}, other, data + 1, size - 1);
	else
		check_device((const int[]){memory, one}, other, data + 1, size - 1);
	return 0;
}
