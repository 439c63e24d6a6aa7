#include "test.h"

#include "base/text.h"
#include "loop/stream.h"

#include <string.h>
#include <sys/socket.h>

/* A stream with its peer's descriptor, and what was told. Frames are lines. */
struct scene {
	struct loop *loop;
	struct stream *stream;
	struct text lines;
	int peer;
	int ended; /* times */
	int end_os;
	int drained; /* times */
	bool pause_after_line, free_after_line;
};

static size_t on_data(struct stream *stream, const void *bytes, size_t size, void *data)
{
	struct scene *scene = data;
	const char *newline = memchr(bytes, '\n', size);
	size_t length = newline ? (size_t)(newline - (const char *)bytes) + 1 : 0;

	text_add_bytes(&scene->lines, bytes, length);
	if (length > 0 && scene->pause_after_line)
		stream_pause_reading(stream);
	if (length > 0 && scene->free_after_line)
		stream_free(TAKE(scene->stream));
	return length;
}

static void on_end(struct stream *stream, int os, void *data)
{
	struct scene *scene = data;

	(void)stream;
	scene->ended++;
	scene->end_os = os;
	stream_free(TAKE(scene->stream));
}

static void on_drained(struct stream *stream, void *data)
{
	struct scene *scene = data;

	(void)stream;
	scene->drained++;
}

static const struct stream_callbacks callbacks = {on_data, on_end, on_drained};

static void start(struct scene *scene, size_t read_cap, size_t write_cap)
{
	int fds[2];

	*scene = (struct scene){0};
	assert_int_equal(loop_new(&scene->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	scene->peer = fds[1];
	assert_int_equal(stream_new(&scene->stream, scene->loop,
				    &(struct stream_options){.fd_in = fds[0],
							     .fd_out = fds[0],
							     .callbacks = &callbacks,
							     .data = scene,
							     .read_cap = read_cap,
							     .write_cap = write_cap}),
			 0);
}

static void finish(struct scene *scene)
{
	stream_free(scene->stream);
	loop_free(scene->loop);
	if (scene->peer >= 0)
		close(scene->peer);
	text_clear(&scene->lines);
}

static void turns(struct scene *scene)
{
	while (loop_turn(scene->loop, 10))
		;
}

static void peer_says(struct scene *scene, const char *text)
{
	assert_int_equal(write(scene->peer, text, strlen(text)), (ssize_t)strlen(text));
}

static void frames_arrive_whole_however_they_are_cut(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene, 100, 0);
	peer_says(&scene, "one\ntwo\nth");
	turns(&scene);
	assert_string_equal(scene.lines.data, "one\ntwo\n");
	peer_says(&scene, "ree\n");
	turns(&scene);
	assert_string_equal(scene.lines.data, "one\ntwo\nthree\n");
	close(scene.peer);
	scene.peer = -1;
	turns(&scene);
	assert_int_equal(scene.ended, 1);
	assert_int_equal(scene.end_os, 0);
	finish(&scene);
}

static void a_frame_longer_than_the_cap_ends_the_stream(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene, 8, 0);
	peer_says(&scene, "1234567\n");
	turns(&scene);
	assert_string_equal(scene.lines.data, "1234567\n");
	assert_int_equal(scene.ended, 0);
	peer_says(&scene, "12345678\n");
	turns(&scene);
	assert_int_equal(scene.ended, 1);
	assert_int_equal(scene.end_os, EMSGSIZE);
	finish(&scene);
}

static void a_paused_stream_gets_the_rest_when_it_resumes(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene, 100, 0);
	scene.pause_after_line = true;
	peer_says(&scene, "one\ntwo\n");
	turns(&scene);
	assert_string_equal(scene.lines.data, "one\n");
	scene.pause_after_line = false;
	stream_resume_reading(scene.stream);
	assert_string_equal(scene.lines.data, "one\n"); /* not from inside the call */
	turns(&scene);
	assert_string_equal(scene.lines.data, "one\ntwo\n");
	finish(&scene);
}

static void a_callback_may_free_the_stream(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene, 100, 0);
	scene.free_after_line = true;
	peer_says(&scene, "one\ntwo\n");
	turns(&scene);
	assert_null(scene.stream);
	assert_string_equal(scene.lines.data, "one\n");
	assert_int_equal(scene.ended, 0);
	finish(&scene);
}

static size_t read_all(int fd, char expected)
{
	char chunk[4096];
	size_t total = 0;
	ssize_t n;

	while ((n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(chunk[i], expected);
		total += (size_t)n;
	}
	return total;
}

static void what_the_peer_does_not_read_waits_up_to_the_cap(void **state)
{
	enum { SIZE = 1 << 20 };
	auto_free char *block = malloc(SIZE);
	struct scene scene;
	size_t got = 0;

	(void)state;
	memset(block, 'w', SIZE);
	start(&scene, 100, SIZE);
	assert_int_equal(stream_write(scene.stream, block, SIZE), 0);
	assert_true(stream_queued(scene.stream) > 0);
	assert_int_equal(stream_write(scene.stream, block, SIZE), -ENOBUFS);
	assert_int_equal(scene.drained, 0);
	while (got < SIZE) {
		got += read_all(scene.peer, 'w');
		loop_turn(scene.loop, 0);
	}
	turns(&scene);
	assert_int_equal(got, SIZE);
	assert_int_equal(stream_queued(scene.stream), 0);
	assert_int_equal(scene.drained, 1);
	finish(&scene);
}

static void closing_writes_what_waits_first(void **state)
{
	enum { SIZE = 1 << 20 };
	auto_free char *block = malloc(SIZE);
	struct scene scene;
	size_t got = 0;

	(void)state;
	memset(block, 'c', SIZE);
	start(&scene, 100, 0);
	assert_int_equal(stream_write(scene.stream, block, SIZE), 0);
	stream_close_when_drained(scene.stream);
	assert_int_equal(stream_write(scene.stream, block, 1), -EPIPE);
	while (scene.stream) {
		got += read_all(scene.peer, 'c');
		loop_turn(scene.loop, 10);
	}
	got += read_all(scene.peer, 'c');
	assert_int_equal(got, SIZE);
	assert_int_equal(scene.ended, 1);
	assert_int_equal(scene.end_os, 0);
	finish(&scene);
}

static void closing_an_idle_stream_ends_it_in_the_next_turn(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene, 100, 0);
	stream_close_when_drained(scene.stream);
	assert_int_equal(scene.ended, 0);
	turns(&scene);
	assert_int_equal(scene.ended, 1);
	finish(&scene);
}

static void a_failing_write_is_told_by_the_end(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene, 100, 0);
	stream_pause_reading(scene.stream);
	close(scene.peer);
	scene.peer = -1;
	assert_int_equal(stream_write(scene.stream, "x", 1), 0);
	assert_int_equal(scene.ended, 0);
	turns(&scene);
	assert_int_equal(scene.ended, 1);
	assert_int_equal(scene.end_os, EPIPE);
	finish(&scene);
}

static void two_descriptors_make_a_stream_too(void **state)
{
	struct scene scene = {.peer = -1};
	int in[2], out[2];
	char seen[8] = "";

	(void)state;
	assert_int_equal(loop_new(&scene.loop), 0);
	assert_true(pipe(in) == 0 && pipe(out) == 0);
	assert_int_equal(stream_new(&scene.stream, scene.loop,
				    &(struct stream_options){.fd_in = in[0],
							     .fd_out = out[1],
							     .callbacks = &callbacks,
							     .data = &scene,
							     .read_cap = 100}),
			 0);
	assert_int_equal(write(in[1], "hey\n", 4), 4);
	assert_int_equal(stream_write(scene.stream, "you", 3), 0);
	turns(&scene);
	assert_string_equal(scene.lines.data, "hey\n");
	assert_int_equal(read(out[0], seen, sizeof(seen)), 3);
	assert_string_equal(seen, "you");
	close(in[1]);
	turns(&scene);
	assert_int_equal(scene.ended, 1);
	close(out[0]);
	finish(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_arrive_whole_however_they_are_cut),
		cmocka_unit_test(a_frame_longer_than_the_cap_ends_the_stream),
		cmocka_unit_test(a_paused_stream_gets_the_rest_when_it_resumes),
		cmocka_unit_test(a_callback_may_free_the_stream),
		cmocka_unit_test(what_the_peer_does_not_read_waits_up_to_the_cap),
		cmocka_unit_test(closing_writes_what_waits_first),
		cmocka_unit_test(closing_an_idle_stream_ends_it_in_the_next_turn),
		cmocka_unit_test(a_failing_write_is_told_by_the_end),
		cmocka_unit_test(two_descriptors_make_a_stream_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
