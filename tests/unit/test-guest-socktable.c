#include "test.h"

#include "guest/socktable.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

static const struct socktable_range clients = {32768, 60999};
static struct socktable table;
static struct text_list texts;

static int set_up(void **state)
{
	(void)state;
	table = (struct socktable){0};
	texts = (struct text_list){0};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	socktable_clear(&table);
	text_list_clear(&texts);
	return 0;
}

static void expect(uint64_t now_ms, const char *const *expected)
{
	size_t count = 0;

	assert_int_equal(socktable_texts(&texts, &table, now_ms, &clients), 0);
	while (expected[count])
		count++;
	assert_int_equal(texts.count, count);
	for (size_t i = 0; i < count; i++)
		assert_string_equal(texts.items[i], expected[i]);
}

static void settle(uint64_t now_ms)
{
	struct socktable none = {0};

	socktable_inherit(&table, &none, now_ms);
}

#define HEAD "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define REST " 00000000:00000000 00:00000000 00000000     0        0 "

static void lines_of_the_kernel_are_read(void **state)
{
	(void)state;
	assert_int_equal(
		socktable_add_lines(&table, IPPROTO_TCP, AF_INET,
				    HEAD "   0: 0100007F:1538 00000000:0000 0A" REST "4711 1 0000000000000000 100 0\n"
					 "   1: 00000000:0050 00000000:0000 0A" REST "4712 1 0000000000000000 100 0\n"
					 "   2: 0100007F:1538 0100007F:A000 01" REST "4713 1 0000000000000000 20 4\n"),
		0);
	assert_int_equal(socktable_add_lines(&table, IPPROTO_TCP, AF_INET6,
					     HEAD "   0: 00000000000000000000000001000000:0019 "
						  "00000000000000000000000000000000:0000 0A" REST "4714 1 0 100 0\n"),
			 0);
	assert_int_equal(socktable_add_lines(&table, IPPROTO_UDP, AF_INET,
					     HEAD "  12: 3500007F:0035 00000000:0000 07" REST "4715 2 0 0\n"
						  "  13: 0F02000A:0044 0202000A:0043 01" REST "4716 2 0 0\n"),
			 0);
	settle(0);
	assert_int_equal(table.count, 4);
	assert_int_equal(table.socks[0].inode, 4714);
	expect(0, (const char *const[]){"tcp ::1 25 0 ", "tcp 0.0.0.0 80 0 ", "tcp 127.0.0.1 5432 0 ",
					"udp 127.0.0.53 53 0 ", NULL});
}

static void lines_that_are_none_are_passed_over(void **state)
{
	static const char *const bad[] = {"",
					  "\n\n",
					  HEAD,
					  "0:\n",
					  "   0: 0100007F 00000000:0000 0A" REST "4711 1\n",
					  "   0: 0100007F:1538 00000000:0000 0A\n",
					  "   0: 0100007X:1538 00000000:0000 0A" REST "4711 1\n",
					  "   0: 0100007F:11538 00000000:0000 0A" REST "4711 1\n",
					  "   0: 0100007F:0000 00000000:0000 0A" REST "1 1\n",
					  "   0: 00000000000000000000000001000000:0019 00000000:0000 0A" REST "1 1\n"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(socktable_add_lines(&table, IPPROTO_TCP, AF_INET, bad[i]), 0);
	assert_int_equal(table.count, 0);
}

struct answer {
	struct inet_diag_msg message;
	struct nlattr head;
	uint8_t only_v6, pad[3];
};

static void answer(uint8_t protocol, uint8_t state, const char *address, uint16_t port, bool only_v6)
{
	struct answer answer = {.message = {.idiag_state = state, .idiag_inode = port},
				.head = {sizeof(struct nlattr) + 1, INET_DIAG_SKV6ONLY},
				.only_v6 = only_v6};

	answer.message.idiag_family = strchr(address, ':') ? AF_INET6 : AF_INET;
	answer.message.id.idiag_sport = htons(port);
	assert_int_equal(inet_pton(answer.message.idiag_family, address, answer.message.id.idiag_src), 1);
	assert_int_equal(socktable_add_diag(&table, protocol, &answer, sizeof(answer)), 0);
}

static void a_socket_of_both_families_counts_for_both(void **state)
{
	(void)state;
	answer(IPPROTO_TCP, TCP_LISTEN, "::", 80, false);
	answer(IPPROTO_TCP, TCP_LISTEN, "::", 81, true);
	answer(IPPROTO_TCP, TCP_LISTEN, "::ffff:127.0.0.1", 82, false);
	answer(IPPROTO_TCP, TCP_ESTABLISHED, "127.0.0.1", 83, false);
	answer(IPPROTO_UDP, TCP_CLOSE, "::1", 84, false);
	settle(0);
	expect(0, (const char *const[]){"tcp :: 80 0 ", "tcp 0.0.0.0 80 0 ", "tcp :: 81 0 ", "tcp 127.0.0.1 82 0 ",
					"udp ::1 84 0 ", NULL});
}

/* /proc/net doesn't say whether it does. */
static void without_that_flag_a_second_socket_tells(void **state)
{
	(void)state;
	assert_int_equal(socktable_add_lines(&table, IPPROTO_TCP, AF_INET6,
					     "   0: 00000000000000000000000000000000:0050 "
					     "00000000000000000000000000000000:0000 0A" REST "1 1 0 100 0\n"
					     "   1: 00000000000000000000000000000000:0051 "
					     "00000000000000000000000000000000:0000 0A" REST "2 1 0 100 0\n"),
			 0);
	assert_int_equal(socktable_add_lines(&table, IPPROTO_TCP, AF_INET,
					     "   0: 00000000:0051 00000000:0000 0A" REST "3 1 0 100 0\n"),
			 0);
	settle(0);
	expect(0,
	       (const char *const[]){"tcp :: 80 0 ", "tcp 0.0.0.0 80 0 ", "tcp 0.0.0.0 81 0 ", "tcp :: 81 0 ", NULL});
}

static void short_answers_are_passed_over(void **state)
{
	struct answer whole = {.message = {.idiag_state = TCP_LISTEN, .idiag_family = AF_INET6},
			       .head = {sizeof(struct nlattr) + 1, INET_DIAG_SKV6ONLY}};

	(void)state;
	whole.message.id.idiag_sport = htons(80);
	for (size_t size = 0; size <= sizeof(whole); size++)
		assert_int_equal(socktable_add_diag(&table, IPPROTO_TCP, &whole, size), 0);
	assert_int_equal(table.count, sizeof(whole) - sizeof(whole.message) + 1);
	whole.head.nla_len = 0;
	assert_int_equal(socktable_add_diag(&table, IPPROTO_TCP, &whole, sizeof(whole)), 0);
}

static void sockets_of_clients_count_when_they_stay(void **state)
{
	struct socktable older = {0};

	(void)state;
	answer(IPPROTO_UDP, TCP_CLOSE, "0.0.0.0", 40000, false);
	answer(IPPROTO_UDP, TCP_CLOSE, "0.0.0.0", 53, false);
	answer(IPPROTO_TCP, TCP_LISTEN, "0.0.0.0", 40000, false);
	settle(1000);
	expect(1000, (const char *const[]){"tcp 0.0.0.0 40000 0 ", "udp 0.0.0.0 53 0 ", NULL});
	assert_int_equal(socktable_due(&table, 2000, &clients), SOCKTABLE_STAYS_MS - 1000);

	older = table;
	table = (struct socktable){0};
	answer(IPPROTO_UDP, TCP_CLOSE, "0.0.0.0", 40000, false);
	socktable_inherit(&table, &older, 5999);
	socktable_clear(&older);
	expect(5999, (const char *const[]){NULL});
	expect(6000, (const char *const[]){"udp 0.0.0.0 40000 0 ", NULL});
	assert_true(socktable_due(&table, 6000, &clients) == UINT64_MAX);
}

static void what_is_known_of_a_socket_is_kept(void **state)
{
	struct socktable older;

	(void)state;
	answer(IPPROTO_TCP, TCP_LISTEN, "0.0.0.0", 80, false);
	settle(0);
	table.socks[0].pid = 12;
	table.socks[0].searched = true;
	strcpy(table.socks[0].name, "tmux: server");
	older = table;
	table = (struct socktable){0};
	answer(IPPROTO_TCP, TCP_LISTEN, "0.0.0.0", 81, false);
	answer(IPPROTO_TCP, TCP_LISTEN, "0.0.0.0", 80, false);
	socktable_inherit(&table, &older, 0);
	socktable_clear(&older);
	expect(0, (const char *const[]){"tcp 0.0.0.0 80 12 tmux: server", "tcp 0.0.0.0 81 0 ", NULL});
	assert_true(table.socks[0].searched);
	assert_false(table.socks[1].searched);
}

static void sockets_that_share_an_address_are_one(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		answer(IPPROTO_TCP, TCP_LISTEN, "0.0.0.0", 80, false);
	settle(0);
	expect(0, (const char *const[]){"tcp 0.0.0.0 80 0 ", NULL});
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(lines_of_the_kernel_are_read),
		TEST(lines_that_are_none_are_passed_over),
		TEST(a_socket_of_both_families_counts_for_both),
		TEST(without_that_flag_a_second_socket_tells),
		TEST(short_answers_are_passed_over),
		TEST(sockets_of_clients_count_when_they_stay),
		TEST(what_is_known_of_a_socket_is_kept),
		TEST(sockets_that_share_an_address_are_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
