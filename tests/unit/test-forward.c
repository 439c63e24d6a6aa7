/* Both sides of a session's forwards, with nothing but queues between them: the guest listens at "in", connections
 * reach "out"; and the other way round. */
#include "test.h"

#include "folder.h"

#include "forward/forwards.h"
#include "forward/socket.h"

#include <stdio.h>
#include <sys/socket.h>

static const char *const offers[] = {"listen:/in", "connect:/out", NULL};

struct end {
	struct forwards *forwards;
	struct text out;
	char *target; /* what is connected to */
	bool full;    /* the link has no room */
	bool late;    /* connecting takes until it is told otherwise */
	uint32_t awaited;
	unsigned moved;
};

static struct loop *loop;
static struct end ends[2]; /* client, guest */

static void on_send(enum message_kind kind, const void *body, void *data)
{
	struct end *end = data;

	assert_int_equal(message_put(&end->out, kind, 1, body), 0);
}

static void on_send_data(enum message_kind kind, void *payload, size_t size, void *data)
{
	struct end *end = data;

	assert_int_equal(message_put_data(&end->out, kind, 1, payload, size), 0);
}

static bool on_has_room(struct connection *connection, void *data)
{
	const struct end *end = data;

	(void)connection;
	return !end->full;
}

static int dial(const char *path)
{
	int fd = -1, result = socket_connect(&fd, path, SOCK_NONBLOCK, 0);

	return result < 0 ? result : fd;
}

static void on_connect(uint32_t forward, uint32_t connection, void *data)
{
	struct end *end = data;

	assert_int_equal(forward, end == &ends[1]);
	end->awaited = connection;
	if (!end->late)
		forwards_attach(end->forwards, connection, dial(end->target));
}

static void on_moved(void *data)
{
	struct end *end = data;

	end->moved++;
}

static const struct forwards_callbacks callbacks = {{on_send, on_send_data, on_has_room}, on_connect, on_moved};

static char *path_of(const char *name)
{
	char *path = path_join(folder, name);

	assert_non_null(path);
	return path;
}

static int listen_at(const char *name)
{
	auto_free char *path = path_of(name);
	int fd = -1;

	assert_int_equal(socket_listen(&fd, path, NULL), 0);
	return fd;
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	for (size_t i = 0; i < 2; i++) {
		ends[i] = (struct end){.target = path_of(i == 0 ? "server" : "inner")};
		assert_int_equal(forwards_new(&ends[i].forwards, loop, i == 0 ? FORWARDS_CLIENT : FORWARDS_GUEST,
					      offers, &callbacks, &ends[i]),
				 0);
		assert_true(forwards_listen(ends[i].forwards, i == 0, listen_at(i == 0 ? "published" : "in")));
		assert_int_equal(forwards_run(ends[i].forwards), 0);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		forwards_free(ends[i].forwards);
		text_clear(&ends[i].out);
		free(ends[i].target);
	}
	loop_free(loop);
	return 0;
}

static bool pass(struct end *from, struct end *to)
{
	struct message_reader reader = {0};
	struct text queue = from->out;
	struct message message;
	size_t used = 0, at = 0;
	bool any = false;

	from->out = (struct text){0};
	while (message_read(&reader, &message, (const uint8_t *)queue.data + at, queue.size - at, &used) ==
	       FRAME_READY) {
		assert_true(forwards_handle(to->forwards, &message));
		at += used;
		any = true;
	}
	message_reader_clear(&reader);
	text_clear(&queue);
	return any;
}

/* Until nothing moves any more. */
static void pump(void)
{
	bool any = true;

	while (any) {
		any = loop_turn(loop, 0);
		any |= pass(&ends[0], &ends[1]);
		any |= pass(&ends[1], &ends[0]);
	}
}

static int connect_to(const char *name)
{
	auto_free char *path = path_of(name);
	int fd = dial(path);

	assert_true(fd >= 0);
	return fd;
}

static int accept_at(int listener)
{
	int fd;

	pump();
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	pump();
}

static void expect(int fd, const char *text)
{
	char bytes[64];

	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
}

static void expect_end(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

static void expect_nothing(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static void each_direction_ends_for_itself(void **state)
{
	int listener = listen_at("server"), ours = connect_to("in"), theirs = accept_at(listener);

	(void)state;
	say(ours, "question");
	expect(theirs, "question");
	expect_nothing(theirs);
	shutdown(ours, SHUT_WR);
	pump();
	expect_end(theirs);
	say(theirs, "answer");
	expect(ours, "answer");
	expect_nothing(ours);
	close(theirs);
	pump();
	expect_end(ours);
	close(ours);
	pump();
	socket_close(&listener);
}

static void the_other_way_round_the_client_listens(void **state)
{
	int listener = listen_at("inner"), ours = connect_to("published"), theirs = accept_at(listener);

	(void)state;
	say(theirs, "hello");
	expect(ours, "hello");
	close(ours);
	pump();
	expect_end(theirs);
	close(theirs);
	socket_close(&listener);
}

static void what_was_written_before_a_close_arrives(void **state)
{
	int listener = listen_at("server"), ours = connect_to("in"), theirs;

	(void)state;
	assert_int_equal(send(ours, "last words", 10, 0), 10);
	close(ours);
	theirs = accept_at(listener);
	expect(theirs, "last words");
	expect_end(theirs);
	close(theirs);
	socket_close(&listener);
	pump();
	assert_true(forwards_are_sent(ends[1].forwards));
}

static void data_waits_until_the_other_side_has_connected(void **state)
{
	int listener = listen_at("server"), ours = connect_to("in"), theirs;

	(void)state;
	ends[0].late = true;
	say(ours, "early");
	close(ours);
	pump();
	assert_false(forwards_are_written(ends[0].forwards));
	assert_true(forwards_awaits(ends[0].forwards, ends[0].awaited));
	forwards_attach(ends[0].forwards, ends[0].awaited, dial(ends[0].target));
	theirs = accept_at(listener);
	expect(theirs, "early");
	expect_end(theirs);
	assert_true(forwards_are_written(ends[0].forwards));
	close(theirs);
	socket_close(&listener);
}

static void where_nobody_listens_the_end_comes(void **state)
{
	int ours = connect_to("in");

	(void)state;
	say(ours, "anybody?");
	expect_end(ours);
	close(ours);
	ours = connect_to("in");
	pump();
	expect_end(ours);
	close(ours);
}

static void who_writes_to_one_that_is_gone_learns_it(void **state)
{
	int listener = listen_at("server"), ours = connect_to("in"), theirs = accept_at(listener);

	(void)state;
	close(theirs);
	pump();
	assert_int_equal(send(ours, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	close(ours);
	socket_close(&listener);
}

/* How much can be written until it blocks. */
static size_t fill(int fd)
{
	static const char bytes[4096];
	size_t total = 0;
	ssize_t n;

	for (;;) {
		n = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		if (n > 0)
			total += (size_t)n;
		else if (pump(), send(fd, bytes, 1, MSG_NOSIGNAL) == 1)
			total++;
		else
			return total;
	}
}

static size_t drain(int fd)
{
	static char bytes[65536];
	size_t total = 0;
	ssize_t n;

	for (;;) {
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n == 0)
			return total;
		if (n > 0)
			total += (size_t)n;
		else
			assert_int_equal(errno, EAGAIN);
		pump();
	}
}

static void a_reader_that_stops_stops_its_own_sender_only(void **state)
{
	int listener = listen_at("server"), slow = connect_to("in"), its = accept_at(listener), fast, other;
	size_t total = fill(slow);

	(void)state;
	assert_true(total > WIRE_CONNECTION_WINDOW);
	fast = connect_to("in");
	other = accept_at(listener);
	say(fast, "go on");
	expect(other, "go on");
	shutdown(slow, SHUT_WR);
	assert_int_equal(drain(its), total);
	close(slow);
	close(its);
	close(fast);
	close(other);
	pump();
	socket_close(&listener);
}

static void nothing_is_read_while_the_link_is_full(void **state)
{
	int listener = listen_at("server"), ours = connect_to("in"), theirs = accept_at(listener);

	(void)state;
	ends[1].full = true;
	forwards_resume(ends[1].forwards);
	say(ours, "wait");
	expect_nothing(theirs);
	ends[1].full = false;
	forwards_resume(ends[1].forwards);
	pump();
	expect(theirs, "wait");
	close(ours);
	close(theirs);
	pump();
	socket_close(&listener);
}

static void a_connection_too_many_waits_for_one_to_end(void **state)
{
	int listener = listen_at("server"), ours[WIRE_CONNECTIONS_MAX + 1], theirs[WIRE_CONNECTIONS_MAX + 1];

	(void)state;
	for (size_t i = 0; i <= WIRE_CONNECTIONS_MAX; i++)
		ours[i] = connect_to("in");
	for (size_t i = 0; i < WIRE_CONNECTIONS_MAX; i++)
		theirs[i] = accept_at(listener);
	pump();
	assert_int_equal(accept(listener, NULL, NULL), -1);
	say(ours[WIRE_CONNECTIONS_MAX], "me too");
	assert_int_equal(accept(listener, NULL, NULL), -1);
	close(theirs[0]);
	theirs[WIRE_CONNECTIONS_MAX] = accept_at(listener);
	expect(theirs[WIRE_CONNECTIONS_MAX], "me too");
	close(ours[0]);
	for (size_t i = 1; i <= WIRE_CONNECTIONS_MAX; i++) {
		close(ours[i]);
		close(theirs[i]);
	}
	socket_close(&listener);
}

static void at_the_end_those_who_have_connected_are_served(void **state)
{
	int listener = listen_at("server"), ours = connect_to("in"), theirs;

	(void)state;
	assert_int_equal(send(ours, "done", 4, 0), 4);
	close(ours);
	forwards_finish(ends[1].forwards);
	assert_false(forwards_are_sent(ends[1].forwards));
	theirs = accept_at(listener);
	assert_true(forwards_are_sent(ends[1].forwards));
	expect(theirs, "done");
	close(theirs);
	socket_close(&listener);
}

static bool client_takes(enum message_kind kind, const void *body)
{
	auto_text struct text out = {0};

	assert_int_equal(message_put(&out, kind, 1, body), 0);
	return forwards_handle(ends[0].forwards, &(struct message){.kind = kind,
								   .stream = 1,
								   .payload = (uint8_t *)out.data + FRAME_HEADER,
								   .size = out.size - FRAME_HEADER});
}

static bool client_takes_data(uint32_t connection, size_t size)
{
	static uint8_t payload[TRANSFER_HEADER + MESSAGE_DATA_MAX];

	message_put_connection(payload, connection);
	return forwards_handle(ends[0].forwards, &(struct message){.kind = MESSAGE_TRANSFER,
								   .stream = 1,
								   .payload = payload,
								   .size = TRANSFER_HEADER + size});
}

static void what_breaks_the_protocol_is_refused(void **state)
{
	int listener = listen_at("server");

	(void)state;
	ends[0].late = true;
	assert_false(client_takes(MESSAGE_CONNECT, &(struct message_connect){257, 1})); /* not one it connects for */
	assert_false(client_takes(MESSAGE_CONNECT, &(struct message_connect){257, 2}));
	assert_false(client_takes(MESSAGE_CONNECT, &(struct message_connect){256, 0}));
	assert_true(client_takes(MESSAGE_CONNECT, &(struct message_connect){257, 0}));
	assert_false(client_takes(MESSAGE_CONNECT, &(struct message_connect){257, 0}));
	assert_false(client_takes_data(259, 1));
	assert_false(client_takes(MESSAGE_CREDIT, &(struct message_credit){257, 1}));
	assert_false(client_takes(MESSAGE_CREDIT, &(struct message_credit){259, 0}));
	assert_false(client_takes(MESSAGE_OPENED, &(struct message_opened){"1"}));
	assert_true(client_takes_data(257, MESSAGE_DATA_MAX));
	assert_true(client_takes_data(257, MESSAGE_DATA_MAX));
	assert_false(client_takes_data(257, 1));
	assert_true(client_takes_data(257, 0));
	assert_false(client_takes_data(257, 0));
	assert_true(client_takes(MESSAGE_DISCONNECT, &(struct message_disconnect){257}));
	assert_false(client_takes(MESSAGE_DISCONNECT, &(struct message_disconnect){257}));
	socket_close(&listener);
}

/* Sockets by their path. */

static void a_socket_s_place_is_taken_only_from_a_dead_one(void **state)
{
	auto_free char *path = path_of("place");
	struct annex_error *err = NULL;
	int fd = -1, other = -1;
	struct stat st;

	(void)state;
	assert_int_equal(socket_listen(&fd, path, NULL), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(socket_listen(&other, path, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_EXISTS);
	annex_error_free(err);
	assert_int_equal(socket_remove_stale(path), -EEXIST);
	close(fd); /* as when its process is killed */
	assert_int_equal(socket_listen(&other, path, NULL), 0);
	socket_close(&other);
	assert_int_equal(socket_remove_stale(path), 0);
	assert_int_equal(socket_remove_stale(path), -ENOENT);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, "mine", 4, 0600), 0);
	assert_int_equal(socket_listen(&other, path, NULL), -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("nowhere", path), 0);
	assert_int_equal(socket_listen(&other, path, NULL), -1);
	assert_int_equal(unlink(path), 0);
}

static void a_closed_listener_refuses_though_others_hold_it(void **state)
{
	auto_free char *path = path_of("held");
	int fd = -1, copy;

	(void)state;
	assert_int_equal(socket_listen(&fd, path, NULL), 0);
	copy = dup(fd);
	socket_close(&fd);
	assert_int_equal(dial(path), -ECONNREFUSED);
	assert_int_equal(socket_remove_stale(path), 0);
	close(copy);
}

static void long_paths_work_and_long_names_are_refused(void **state)
{
	auto_free char *deep = NULL, *path = NULL, *name = calloc(1, SOCKET_NAME_MAX + 2);
	struct annex_error *err = NULL;
	int fd = -1;

	(void)state;
	memset(name, 'n', SOCKET_NAME_MAX);
	assert_true(asprintf(&deep, "%s/%0100d/%0100d", folder, 1, 2) > 0);
	assert_true(asprintf(&path, "%s/%s", deep, name) > 0);
	assert_int_equal(socket_listen(&fd, path, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
	annex_error_free(err);
	assert_int_equal(file_make_folders(deep, 0700), 0);
	assert_int_equal(socket_listen(&fd, path, NULL), 0);
	close(dial(path));
	socket_close(&fd);
	assert_int_equal(socket_listen(&fd, path, NULL), 0); /* the dead one is replaced here too */
	socket_close(&fd);
	assert_int_equal(socket_remove_stale(path), 0);
	free(path);
	name[SOCKET_NAME_MAX] = 'n';
	assert_true(asprintf(&path, "%s/%s", deep, name) > 0);
	err = NULL;
	assert_int_equal(socket_listen(&fd, path, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
	annex_error_free(err);
	assert_int_equal(dial(path), -ENAMETOOLONG);
}

#define FORWARD(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FORWARD(each_direction_ends_for_itself),
		FORWARD(the_other_way_round_the_client_listens),
		FORWARD(what_was_written_before_a_close_arrives),
		FORWARD(data_waits_until_the_other_side_has_connected),
		FORWARD(where_nobody_listens_the_end_comes),
		FORWARD(who_writes_to_one_that_is_gone_learns_it),
		FORWARD(a_reader_that_stops_stops_its_own_sender_only),
		FORWARD(nothing_is_read_while_the_link_is_full),
		FORWARD(a_connection_too_many_waits_for_one_to_end),
		FORWARD(at_the_end_those_who_have_connected_are_served),
		FORWARD(what_breaks_the_protocol_is_refused),
		cmocka_unit_test(a_socket_s_place_is_taken_only_from_a_dead_one),
		cmocka_unit_test(a_closed_listener_refuses_though_others_hold_it),
		cmocka_unit_test(long_paths_work_and_long_names_are_refused),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
