/* The stream of frames that passt speaks, and the machine's cable. */
#include "test.h"

#include "base/cleanup.h"
#include "network/cable.h"
#include "network/passt.h"

#include <string.h>
#include <sys/socket.h>

struct scene {
	struct loop *loop;
	struct passt *passt;
	struct cable *cable;
	int far;
	unsigned frames, gone, batches;
	size_t size;
	bool full, free_when_given;
	uint8_t last[PACKET_MAX];
};

static void on_frame(const uint8_t *frame, size_t size, void *data)
{
	struct scene *scene = data;

	memcpy(scene->last, frame, size);
	scene->size = size;
	scene->frames++;
	if (!scene->free_when_given)
		return;
	passt_free(scene->passt);
	scene->passt = NULL;
}

static void on_gone(void *data)
{
	struct scene *scene = data;

	scene->gone++;
	passt_free(scene->passt);
	scene->passt = NULL;
}

static void on_batch(void *data)
{
	((struct scene *)data)->batches++;
}

static void on_full(bool full, void *data)
{
	((struct scene *)data)->full = full;
}

static const struct passt_callbacks passt_callbacks = {.deliver = on_frame, .on_gone = on_gone};
static const struct cable_callbacks cable_callbacks = {.on_frame = on_frame, .on_batch = on_batch, .on_full = on_full};

static int begin(void **state, int type)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	int pair[2];

	assert_non_null(scene);
	assert_int_equal(loop_new(&scene->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
	scene->far = pair[0];
	if (type == SOCK_STREAM)
		assert_int_equal(passt_new(&scene->passt, scene->loop, pair[1], &passt_callbacks, scene), 0);
	else
		assert_int_equal(cable_new(&scene->cable, scene->loop, pair[1], &cable_callbacks, scene), 0);
	*state = scene;
	return 0;
}

static int begin_passt(void **state)
{
	return begin(state, SOCK_STREAM);
}

static int begin_cable(void **state)
{
	return begin(state, SOCK_DGRAM);
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	passt_free(scene->passt);
	cable_free(scene->cable);
	cleanup_close(&scene->far);
	loop_free(scene->loop);
	free(scene);
	return 0;
}

static void settle(const struct scene *scene)
{
	while (loop_turn(scene->loop, 0))
		;
}

/* A frame of so many bytes, behind its length. */
static size_t framed(uint8_t *ret, size_t size)
{
	for (size_t i = 0; i < 4; i++)
		ret[i] = (uint8_t)(size >> (24 - 8 * i));
	for (size_t i = 0; i < size; i++)
		ret[4 + i] = (uint8_t)(i * 31 + size);
	return size + 4;
}

static void give(const struct scene *scene, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(scene->far, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent > 0) {
			bytes += sent;
			size -= (size_t)sent;
		}
		settle(scene);
	}
}

static void a_stream_byte_by_byte_is_the_same_frames(void **state)
{
	static uint8_t stream[3 * 200 + 12];
	struct scene *scene = *state;
	size_t size = 0;

	for (size_t i = 0; i < 3; i++)
		size += framed(stream + size, 60 + 70 * i);
	for (size_t i = 0; i < size; i++)
		give(scene, stream + i, 1);
	assert_int_equal(scene->frames, 3);
	assert_int_equal(scene->size, 200);
	assert_memory_equal(scene->last, stream + size - 200, 200);
}

static void large_frames_in_a_row_are_not_mixed_up(void **state)
{
	static uint8_t stream[PACKET_MAX + 4];
	struct scene *scene = *state;

	for (size_t i = 0; i < 50; i++) {
		size_t size = PACKET_MAX - i * 1301;

		give(scene, stream, framed(stream, size));
		settle(scene);
		assert_int_equal(scene->frames, i + 1);
		assert_int_equal(scene->size, size);
		assert_memory_equal(scene->last, stream + 4, size);
	}
}

static void a_length_that_no_frame_has_ends_it(void **state)
{
	struct scene *scene = *state;

	give(scene, (const uint8_t[]){0, 0, 0, 13}, 4);
	settle(scene);
	assert_int_equal(scene->gone, 1);
	assert_null(scene->passt);
}

static void an_end_in_the_middle_of_a_frame_is_told_once(void **state)
{
	static uint8_t stream[204];
	struct scene *scene = *state;

	give(scene, stream, framed(stream, 200) - 1);
	cleanup_close(&scene->far);
	scene->far = -EBADF;
	settle(scene);
	assert_int_equal(scene->frames, 0);
	assert_int_equal(scene->gone, 1);
}

static void it_can_go_while_it_gives(void **state)
{
	static uint8_t stream[128];
	struct scene *scene = *state;

	scene->free_when_given = true;
	give(scene, stream, framed(stream, 60));
	settle(scene);
	assert_int_equal(scene->frames, 1);
	assert_int_equal(scene->gone, 0);
}

static void while_it_is_held_nothing_is_read(void **state)
{
	static uint8_t stream[128];
	struct scene *scene = *state;
	struct uplink *uplink = passt_uplink(scene->passt);

	uplink->type->hold(uplink, true);
	give(scene, stream, framed(stream, 60));
	settle(scene);
	assert_int_equal(scene->frames, 0);
	uplink->type->hold(uplink, false);
	settle(scene);
	assert_int_equal(scene->frames, 1);
}

/* Reads what was sent, and checks that it is whole frames. */
static size_t drain(const struct scene *scene)
{
	static uint8_t stream[16 << 20];
	size_t size = 0, at = 0, frames = 0;
	ssize_t got;

	do {
		settle(scene);
		got = recv(scene->far, stream + size, sizeof(stream) - size, MSG_DONTWAIT);
		size += got > 0 ? (size_t)got : 0;
	} while (got > 0);
	for (; at < size; frames++) {
		size_t length = (size_t)stream[at] << 24 | (size_t)stream[at + 1] << 16 | (size_t)stream[at + 2] << 8 |
				stream[at + 3];

		assert_true(length <= PACKET_MAX && at + 4 + length <= size);
		for (size_t i = 0; i < length; i++)
			assert_int_equal(stream[at + 4 + i], (uint8_t)(i * 31 + length));
		at += 4 + length;
	}
	return frames;
}

static void a_passt_that_does_not_read_costs_frames_and_no_more(void **state)
{
	static uint8_t stream[PACKET_MAX + 4];
	struct scene *scene = *state;
	struct uplink *uplink = passt_uplink(scene->passt);
	size_t taken;

	for (size_t i = 0; i < 200; i++) {
		size_t size = 60000 + i * 7;
		struct packet packet = {.frame = stream + 4, .size = size};

		(void)framed(stream, size);
		uplink->type->send(uplink, &packet);
	}
	taken = drain(scene);
	assert_true(taken > 60 && taken < 120);
	for (size_t i = 0; i < 10; i++) {
		struct packet packet = {.frame = stream + 4, .size = 100};

		(void)framed(stream, 100);
		uplink->type->send(uplink, &packet);
	}
	assert_int_equal(drain(scene), 10);
}

static void frames_come_in_batches(void **state)
{
	static uint8_t frame[PACKET_MAX];
	struct scene *scene = *state;

	for (size_t i = 0; i < 10; i++)
		assert_int_equal(send(scene->far, frame, 100 + i, 0), 100 + i);
	settle(scene);
	assert_int_equal(scene->frames, 10);
	assert_int_equal(scene->batches, 1);
	assert_int_equal(scene->size, 109);
}

static void a_full_cable_tells_loses_and_recovers(void **state)
{
	static uint8_t frame[PACKET_MAX];
	struct scene *scene = *state;
	size_t sent = 0, got = 0;

	while (sent < 400) {
		frame[20] = (uint8_t)sent;
		cable_send(scene->cable, frame, 14, frame + 14, 60000);
		sent++;
	}
	assert_true(scene->full);
	settle(scene);
	for (;;) {
		ssize_t size = recv(scene->far, frame, sizeof(frame), MSG_DONTWAIT);

		if (size < 0)
			break;
		assert_int_equal(size, 60014);
		assert_int_equal(frame[20], (uint8_t)got); /* in order: what is lost are the last ones */
		got++;
		settle(scene);
	}
	assert_true(got > 100 && got < 400);
	assert_false(scene->full);
}

static void a_cable_to_nobody_loses_all(void **state)
{
	static uint8_t frame[PACKET_MAX];
	struct scene *scene = *state;

	cleanup_close(&scene->far);
	scene->far = -EBADF;
	for (size_t i = 0; i < 1000; i++)
		cable_send(scene->cable, frame, 14, frame + 14, 60000);
	for (size_t i = 0; i < 100; i++)
		assert_false(loop_turn(scene->loop, 0));
	assert_false(scene->full);
}

#define PASST(name) cmocka_unit_test_setup_teardown(name, begin_passt, tear_down)
#define CABLE(name) cmocka_unit_test_setup_teardown(name, begin_cable, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		PASST(a_stream_byte_by_byte_is_the_same_frames),
		PASST(large_frames_in_a_row_are_not_mixed_up),
		PASST(a_length_that_no_frame_has_ends_it),
		PASST(an_end_in_the_middle_of_a_frame_is_told_once),
		PASST(it_can_go_while_it_gives),
		PASST(while_it_is_held_nothing_is_read),
		PASST(a_passt_that_does_not_read_costs_frames_and_no_more),
		CABLE(frames_come_in_batches),
		CABLE(a_full_cable_tells_loses_and_recovers),
		CABLE(a_cable_to_nobody_loses_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
