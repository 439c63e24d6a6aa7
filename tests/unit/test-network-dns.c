/* The resolver, and servers that behave and others. A real one: test-network-dnsmasq.c. */
#include "test.h"

#include "dns-servers.h"

static void the_first_server_is_asked_with_an_id_and_a_port_of_its_own(void **state)
{
	struct fixture fixture;
	struct server *server = &fixture.servers[0];
	unsigned ids = 0, ports = 0, same = 0;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	for (unsigned i = 0; i < 20; i++) {
		unsigned id = server->last_size ? ns_get16(server->last) : 4242, port = server->from.sin_port;

		assert_string_equal(ask(&fixture, "Example.org"), "0: Example.org 192.0.2.1");
		same += ns_get16(server->last) == 4242;
		ids += ns_get16(server->last) != id;
		ports += server->from.sin_port != port;
	}
	assert_true(same <= 1 && ids >= 18 && ports >= 15);
	assert_int_equal(fixture.servers[1].asked + fixture.servers[2].asked, 0);
	close_fixture(&fixture);
}

static void a_server_that_is_gone_is_passed_over_at_once(void **state)
{
	struct fixture fixture;
	uint64_t start = time_monotonic_ms();

	(void)state;
	open_fixture(&fixture, 0, NULL);
	close_server(&fixture.servers[0]);
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.2");
	close_server(&fixture.servers[1]);
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.3");
	close_server(&fixture.servers[2]);
	assert_string_equal(ask(&fixture, "example.org"), "2:");
	/* Nobody was waited for. */
	assert_true(time_monotonic_ms() - start < RESOLVER_TRY_MS);
	close_fixture(&fixture);
}

static void a_silent_server_is_waited_for_once(void **state)
{
	struct fixture fixture;
	uint64_t start = time_monotonic_ms();

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = SILENT;
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.2");
	assert_true(time_monotonic_ms() - start >= RESOLVER_TRY_MS);
	for (unsigned i = 0; i < 5; i++)
		assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.2");
	assert_int_equal(fixture.servers[0].asked, 1);
	close_fixture(&fixture);
}

static void a_slow_server_may_still_answer(void **state)
{
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	set_servers(&fixture, 0, 2);
	fixture.servers[0].manner = SLOW;
	fixture.servers[1].manner = SILENT;
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.1");
	assert_int_equal(fixture.servers[0].asked, 1);
	assert_int_equal(fixture.servers[1].asked, 1);
	close_fixture(&fixture);
}

static void who_can_not_answer_is_believed_only_when_nobody_can(void **state)
{
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = REFUSES;
	fixture.servers[1].manner = BROKEN;
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.3");
	set_servers(&fixture, 0, 2);
	assert_string_equal(ask(&fixture, "example.org"), "5:");
	assert_int_equal(fixture.servers[0].asked, 2);
	close_fixture(&fixture);
}

static void answers_to_something_else_are_none(void **state)
{
	static const enum manner manners[] = {WRONG_ID, WRONG_QUESTION, WRONG_PORT, WRONG_KIND};
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	for (size_t i = 0; i < COUNT_OF(manners); i++) {
		fixture.servers[0].manner = manners[i];
		assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.1");
		assert_int_equal(fixture.servers[0].asked, i + 1);
	}
	close_fixture(&fixture);
}

static void servers_may_change_while_questions_are_out(void **state)
{
	struct fixture fixture;
	uint64_t start = time_monotonic_ms();

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = SILENT;
	set_servers(&fixture, 0, 1);
	send_question(&fixture, 1, "one.example", 1);
	send_question(&fixture, 2, "two.example", 2);
	while (fixture.servers[0].asked < 2)
		loop_turn(fixture.loop, 1000);
	set_servers(&fixture, 2, 1);
	wait_for_replies(&fixture, 2);
	assert_true(text_ends(fixture.said.data, " 192.0.2.3"));
	assert_true(time_monotonic_ms() - start < RESOLVER_TRY_MS);
	set_servers(&fixture, 0, 0);
	assert_string_equal(ask(&fixture, "example.org"), "2:");
	close_fixture(&fixture);
}

static void questions_are_answered_once_and_their_number_is_bounded(void **state)
{
	struct fixture fixture;
	char name[32];

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = SILENT;
	set_servers(&fixture, 0, 1);
	for (unsigned i = 0; i < RESOLVER_LOOKUP_LIMIT; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		send_question(&fixture, (uint16_t)i, name, i);
		send_question(&fixture, (uint16_t)i, name, i); /* impatient */
	}
	assert_int_equal(fixture.replies, 0);
	send_question(&fixture, 9, "more.example", 9);
	assert_int_equal(fixture.replies, 1);
	assert_string_equal(fixture.said.data, "2:");
	set_servers(&fixture, 1, 1);
	wait_for_replies(&fixture, RESOLVER_LOOKUP_LIMIT + 1);
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.2");
	close_fixture(&fixture);
}

static void what_waits_is_dropped_with_the_resolver(void **state)
{
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = SILENT;
	send_question(&fixture, 1, "one.example", 1);
	loop_turn(fixture.loop, 1000);
	close_fixture(&fixture);
}

static void a_connection_takes_several_questions_and_the_end_of_its_peer(void **state)
{
	struct fixture fixture;
	bool seen[6] = {0};
	int fd;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = BROKEN;
	fd = connect_to(&fixture);
	for (uint16_t i = 1; i <= 5; i++)
		send_by_tcp(fd, i == 3 ? "dev.annex.internal" : "example.org", i, ns_t_a);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	for (unsigned i = 1; i <= 5; i++) {
		uint16_t id = receive_answer(&fixture, fd);

		assert_true(id >= 1 && id <= 5 && !seen[id]);
		seen[id] = true;
		assert_string_equal(fixture.said.data,
				    id == 3 ? "0: dev.annex.internal 198.19.3.7" : "0: example.org 192.0.2.2");
	}
	assert_int_equal(receive_answer(&fixture, fd), 0);
	close(fd);
	close_fixture(&fixture);
}

static void a_connection_that_ends_takes_its_questions_along(void **state)
{
	struct fixture fixture;
	int fd;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = SILENT;
	set_servers(&fixture, 0, 1);
	for (unsigned i = 0; i < 3 * DNS_CONNECTION_LIMIT; i++) {
		fd = connect_to(&fixture);
		send_by_tcp(fd, "example.org", 1, ns_t_a);
		while (loop_turn(fixture.loop, 0))
			continue;
		/* With a reset, as bytes of an answer wait: the end of its peer alone would not do. */
		send_by_tcp(fd, "dev", 2, ns_t_a);
		while (loop_turn(fixture.loop, 0))
			continue;
		close(fd);
		send_question(&fixture, 3, "dev", 3);
		while (loop_turn(fixture.loop, 0))
			continue;
	}
	fd = connect_to(&fixture);
	send_by_tcp(fd, "dev", 2, ns_t_a);
	assert_int_equal(receive_answer(&fixture, fd), 2);
	close(fd);
	close_fixture(&fixture);
}

static void connections_are_bounded(void **state)
{
	struct fixture fixture;
	int fds[DNS_CONNECTION_LIMIT + 1];

	(void)state;
	open_fixture(&fixture, 0, NULL);
	for (size_t i = 0; i <= DNS_CONNECTION_LIMIT; i++)
		fds[i] = connect_to(&fixture);
	assert_int_equal(receive_answer(&fixture, fds[DNS_CONNECTION_LIMIT]), 0);
	close(fds[DNS_CONNECTION_LIMIT]);
	send_by_tcp(fds[0], "dev", 2, ns_t_a);
	assert_int_equal(receive_answer(&fixture, fds[0]), 2);
	for (size_t i = 0; i < DNS_CONNECTION_LIMIT; i++)
		close(fds[i]);
	close_fixture(&fixture);
}

static void who_does_not_read_answers_may_not_ask_on(void **state)
{
	struct fixture fixture;
	uint8_t message[2 + 1024];
	size_t size = write_question(message + 2, 1, "dev.annex.internal", ns_t_a, 0) + 2;
	ssize_t sent;
	unsigned count = 0, answers = 0;
	int fd;

	(void)state;
	ns_put16((unsigned)size - 2, message);
	open_fixture(&fixture, 0, NULL);
	fd = connect_to(&fixture);
	do {
		sent = send(fd, message, size, MSG_NOSIGNAL);
		count += sent == (ssize_t)size;
		while (loop_turn(fixture.loop, 0))
			continue;
	} while (sent == (ssize_t)size && count < 1000000);
	assert_true(sent < 0 && errno == EAGAIN);
	while (answers < count && receive_answer(&fixture, fd) == 1)
		answers++;
	assert_int_equal(answers, count);
	close(fd);
	close_fixture(&fixture);
}

static void an_isolated_machines_question_carries_nothing_else(void **state)
{
	static const char *const allow[] = {"example.org", NULL};
	static const uint8_t secret[] = "secret";
	struct fixture fixture;
	uint8_t message[1024];
	size_t size;

	(void)state;
	open_fixture(&fixture, NETWORK_ISOLATED, allow);
	size = write_question(message, 5, "eXaMpLe.OrG", ns_t_a, 1400);
	/* An option of EDNS. */
	ns_put16(4 + sizeof(secret), message + size - 2);
	ns_put16(65001, message + size);
	ns_put16(sizeof(secret), message + size + 2);
	memcpy(message + size + 4, secret, sizeof(secret));
	size += 4 + sizeof(secret);
	dns_query(fixture.dns, message, size, 1);
	wait_for_replies(&fixture, 1);
	assert_string_equal(fixture.said.data, "0: eXaMpLe.OrG 192.0.2.1");
	assert_true(permitted(&fixture, "192.0.2.1"));
	assert_null(memmem(fixture.servers[0].last, fixture.servers[0].last_size, secret, sizeof(secret)));
	assert_non_null(memmem(fixture.servers[0].last, fixture.servers[0].last_size, "\7example\3org", 13));
	assert_string_equal(ask(&fixture, "www.example.org"), "5:");
	assert_int_equal(fixture.servers[0].asked, 1);
	close_fixture(&fixture);
}

static void only_addresses_that_the_name_leads_to_are_learned(void **state)
{
	static const char *const allow[] = {"example.org", NULL};
	struct question question = {.name = "example.org", .type = ns_t_a, .class_of = ns_c_in};
	struct packet_address good, stray;
	struct reply answer, rest;
	struct fixture fixture;
	uint8_t asked[1024];

	(void)state;
	open_fixture(&fixture, NETWORK_ISOLATED, allow);
	question.end = write_question(asked, 0, "example.org", ns_t_a, 0);
	good = (struct packet_address){.of.v4 = {inet_addr("192.0.2.21")}};
	stray = (struct packet_address){.of.v4 = {inet_addr("192.0.2.22")}};
	reply_begin(&answer, &question, asked, 0, 0, sizeof(answer.bytes));
	reply_add_address(&answer, "b.example", 60, &good);
	reply_add_name(&answer, ns_s_an, "a.example", ns_t_cname, 60, "b.example");
	reply_add_name(&answer, ns_s_an, "", ns_t_cname, 60, "a.example");
	reply_add_name(&answer, ns_s_an, "b.example", ns_t_ns, 60, "c.example");
	reply_add_address(&answer, "c.example", 60, &stray);
	reply_add_address(&answer, "a.example", 60, &stray);
	reply_end(&answer);
	reply_begin(&rest, &question, asked, 0, 0, sizeof(rest.bytes));
	assert_int_equal(lesson_learn(&rest, fixture.policy, &question, answer.bytes, answer.size), LESSON_WHOLE);
	assert_true(permitted(&fixture, "192.0.2.21"));
	assert_false(permitted(&fixture, "192.0.2.22"));
	/* A chain without an end. */
	reply_begin(&answer, &question, asked, 0, 0, sizeof(answer.bytes));
	reply_add_name(&answer, ns_s_an, "", ns_t_cname, 60, "example.org");
	reply_end(&answer);
	assert_int_equal(lesson_learn(&rest, fixture.policy, &question, answer.bytes, answer.size), LESSON_WHOLE);
	assert_int_equal(lesson_learn(&rest, fixture.policy, &question, answer.bytes, 11), LESSON_NONE);
	close_fixture(&fixture);
}

static void servers_are_written_as_in_resolv_conf_with_a_port(void **state)
{
	static const char *const bad[] = {"",
					  "x",
					  "192.0.2.1#",
					  "192.0.2.1#0",
					  "192.0.2.1#65536",
					  "192.0.2.1%1",
					  "fe80::1%",
					  "fe80::1%eth0",
					  "192.0.2.1 ",
					  "[::1]#53",
					  "192.0.2.1#53#53"};
	struct sockaddr_storage made;
	const struct sockaddr_in *v4 = (const void *)&made;
	const struct sockaddr_in6 *v6 = (const void *)&made;

	(void)state;
	assert_int_equal(resolver_parse_server(&made, "192.0.2.1"), 0);
	assert_true(v4->sin_family == AF_INET && v4->sin_port == htons(53));
	assert_int_equal(resolver_parse_server(&made, "fe80::1%7#5353"), 0);
	assert_true(v6->sin6_family == AF_INET6 && v6->sin6_port == htons(5353) && v6->sin6_scope_id == 7);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(resolver_parse_server(&made, bad[i]), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_server_is_asked_with_an_id_and_a_port_of_its_own),
		cmocka_unit_test(a_server_that_is_gone_is_passed_over_at_once),
		cmocka_unit_test(a_silent_server_is_waited_for_once),
		cmocka_unit_test(a_slow_server_may_still_answer),
		cmocka_unit_test(who_can_not_answer_is_believed_only_when_nobody_can),
		cmocka_unit_test(answers_to_something_else_are_none),
		cmocka_unit_test(servers_may_change_while_questions_are_out),
		cmocka_unit_test(questions_are_answered_once_and_their_number_is_bounded),
		cmocka_unit_test(what_waits_is_dropped_with_the_resolver),
		cmocka_unit_test(a_connection_takes_several_questions_and_the_end_of_its_peer),
		cmocka_unit_test(a_connection_that_ends_takes_its_questions_along),
		cmocka_unit_test(connections_are_bounded),
		cmocka_unit_test(who_does_not_read_answers_may_not_ask_on),
		cmocka_unit_test(an_isolated_machines_question_carries_nothing_else),
		cmocka_unit_test(only_addresses_that_the_name_leads_to_are_learned),
		cmocka_unit_test(servers_are_written_as_in_resolv_conf_with_a_port),
	};

	allow_many_sockets();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
