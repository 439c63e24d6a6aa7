#include "test.h"

#include "base/text.h"
#include "qemu/qmp.h"

#include <string.h>
#include <sys/socket.h>

/* A client, QEMU's end of its link, and what the client told. */
struct scene {
	struct loop *loop;
	struct qmp *qmp;
	int qemu;
	int ready, ended, replies; /* times */
	bool end_had_error, free_at_event;
	struct text events;
	char *refusal; /* of the last reply */
	bool running;  /* in the last reply */
};

static void on_ready(struct qmp *qmp, void *data)
{
	(void)qmp;
	((struct scene *)data)->ready++;
}

static void on_event(struct qmp *qmp, const char *name, const json_t *body, void *data)
{
	struct scene *scene = data;

	(void)qmp;
	text_printf(&scene->events, "%s(%s) ", name, json_is_true(json_object_get(body, "guest")) ? "guest" : "");
	if (scene->free_at_event)
		qmp_free(TAKE(scene->qmp));
}

static void on_end(struct qmp *qmp, const struct annex_error *err, void *data)
{
	struct scene *scene = data;

	(void)qmp;
	scene->ended++;
	scene->end_had_error = err != NULL;
}

static void on_reply(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	struct scene *scene = data;

	(void)qmp;
	scene->replies++;
	free(TAKE(scene->refusal));
	if (err)
		scene->refusal = strdup(annex_error_message(err));
	scene->running = json_is_true(json_object_get(result, "running"));
}

static const struct qmp_callbacks callbacks = {on_ready, on_event, on_end};

static void turns(struct scene *scene)
{
	while (loop_turn(scene->loop, 10))
		;
}

static void qemu_says(struct scene *scene, const char *text)
{
	assert_int_equal(send(scene->qemu, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turns(scene);
}

static void expect_heard(struct scene *scene, const char *text)
{
	char heard[1024];
	ssize_t n = recv(scene->qemu, heard, sizeof(heard) - 1, MSG_DONTWAIT);

	assert_true(n >= 0);
	heard[n] = '\0';
	assert_string_equal(heard, text);
}

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	int pair[2];

	*state = scene;
	return !scene || loop_new(&scene->loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ||
	       (scene->qemu = pair[0]) < 0 || qmp_new(&scene->qmp, scene->loop, pair[1], &callbacks, scene) < 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	qmp_free(scene->qmp);
	loop_free(scene->loop);
	close(scene->qemu);
	text_clear(&scene->events);
	free(scene->refusal);
	free(scene);
	return 0;
}

static void greet(struct scene *scene)
{
	qemu_says(scene, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n");
	expect_heard(scene, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
	assert_int_equal(scene->ready, 0);
	qemu_says(scene, "{\"return\": {}, \"id\": 1}\r\n");
	assert_int_equal(scene->ready, 1);
	assert_true(qmp_is_ready(scene->qmp));
}

static void commands_wait_for_the_negotiation(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(qmp_execute(scene->qmp, "stop", NULL, NULL, NULL), -ENOTCONN);
	greet(scene);
	assert_int_equal(qmp_execute(scene->qmp, "stop", NULL, NULL, NULL), 0);
	expect_heard(scene, "{\"execute\":\"stop\",\"id\":2}\n");
}

static void replies_find_their_commands_in_any_order(void **state)
{
	struct scene *scene = *state, other = {0};

	greet(scene);
	assert_int_equal(qmp_execute(scene->qmp, "query-status", NULL, on_reply, scene), 0);
	assert_int_equal(qmp_execute(scene->qmp, "balloon", json_pack("{s:i}", "value", 7), on_reply, &other), 0);
	expect_heard(scene, "{\"execute\":\"query-status\",\"id\":2}\n"
			    "{\"execute\":\"balloon\",\"arguments\":{\"value\":7},\"id\":3}\n");
	qemu_says(scene, "{\"id\": 3, \"error\": {\"class\": \"GenericError\", \"desc\": \"no balloon\"}}\n");
	assert_int_equal(scene->replies, 0);
	assert_int_equal(other.replies, 1);
	assert_string_equal(other.refusal, "QEMU: no balloon");
	qemu_says(scene, "{\"id\": 2, \"return\": {\"running\": true}}\n");
	assert_true(scene->replies == 1 && scene->running && !scene->refusal);
	free(other.refusal);
}

static void events_are_passed_on(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	qemu_says(scene,
		  "{\"event\": \"STOP\", \"timestamp\": {}}\n{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true}}\n");
	assert_string_equal(scene->events.data, "STOP() SHUTDOWN(guest) ");
}

static void an_event_may_free_the_client(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	scene->free_at_event = true;
	qemu_says(scene, "{\"event\": \"STOP\"}\n{\"event\": \"RESUME\"}\n");
	assert_string_equal(scene->events.data, "STOP() ");
	assert_int_equal(scene->ended, 0);
}

static void owed_replies_fail_when_qemu_goes(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	assert_int_equal(qmp_execute(scene->qmp, "stop", NULL, on_reply, scene), 0);
	shutdown(scene->qemu, SHUT_WR);
	turns(scene);
	assert_int_equal(scene->replies, 1);
	assert_non_null(scene->refusal);
	assert_int_equal(scene->ended, 1);
	assert_false(scene->end_had_error);
	assert_int_equal(qmp_execute(scene->qmp, "stop", NULL, NULL, NULL), -ENOTCONN);
}

static void what_is_not_the_protocol_breaks_the_link(void **state)
{
	static const char *const wrong[] = {
		"{\"return\": [}\n",
		"hello\n",
		"[]\n",
		"{\"return\": {}, \"id\": 99}\n",
		"{\"return\": {}}\n",
		"{\"event\": 7}\n",
		"{\"event\": \"STOP\", \"data\": 1}\n",
		"{\"id\": 2, \"return\": {}, \"error\": {\"desc\": \"both\"}}\n",
		"{\"id\": 2, \"error\": {}}\n",
	};

	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		struct scene *scene = *state;

		greet(scene);
		assert_int_equal(qmp_execute(scene->qmp, "stop", NULL, on_reply, scene), 0);
		expect_heard(scene, "{\"execute\":\"stop\",\"id\":2}\n");
		qemu_says(scene, wrong[i]);
		assert_int_equal(scene->ended, 1);
		assert_true(scene->end_had_error);
		qemu_says(scene, "{\"event\": \"STOP\"}\n");
		assert_null(scene->events.data);
		teardown(state);
		assert_int_equal(setup(state), 0);
	}
}

static void a_missing_greeting_breaks_the_link(void **state)
{
	struct scene *scene = *state;

	qemu_says(scene, "{\"event\": \"STOP\"}\n");
	assert_true(scene->ended == 1 && scene->end_had_error);
}

static void too_many_commands_are_refused(void **state)
{
	struct scene *scene = *state;

	greet(scene);
	for (size_t i = 0; i < QMP_PENDING_LIMIT; i++)
		assert_int_equal(qmp_execute(scene->qmp, "stop", NULL, NULL, NULL), 0);
	assert_int_equal(qmp_execute(scene->qmp, "stop", NULL, NULL, NULL), -ENOBUFS);
}

static void a_line_without_end_breaks_the_link(void **state)
{
	struct scene *scene = *state;
	static char spaces[1 << 16];

	greet(scene);
	memset(spaces, ' ', sizeof(spaces));
	for (size_t sent = 0; sent < QMP_LINE_LIMIT; sent += sizeof(spaces)) {
		assert_true(send(scene->qemu, spaces, sizeof(spaces), MSG_NOSIGNAL) > 0);
		turns(scene);
	}
	assert_true(scene->ended == 1 && scene->end_had_error);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(commands_wait_for_the_negotiation),
		TEST(replies_find_their_commands_in_any_order),
		TEST(events_are_passed_on),
		TEST(an_event_may_free_the_client),
		TEST(owed_replies_fail_when_qemu_goes),
		TEST(what_is_not_the_protocol_breaks_the_link),
		TEST(a_missing_greeting_breaks_the_link),
		TEST(too_many_commands_are_refused),
		TEST(a_line_without_end_breaks_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
