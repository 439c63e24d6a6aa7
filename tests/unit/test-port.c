#include "test.h"

#include "network/port.h"

#include <string.h>

static const char good[] =
	"{\"protocol\": \"tcp\", \"port\": 80, \"listens\": [\"0.0.0.0\", \"::\"], \"pid\": 512, "
	"\"process\": \"nginx\", \"host\": \"127.88.3.7\", \"host-port\": 10080, \"published\": false, "
	"\"moved\": true, \"state\": \"open\", \"extra\": 1}";

static void a_port_is_what_it_was(void **state)
{
	auto_json json_t *object = json_loads(good, 0, NULL), *again = NULL, *twice = NULL;
	auto_port struct port port = {0}, copy = {0};

	(void)state;
	assert_int_equal(port_decode(&port, object, "port", NULL), 0);
	assert_string_equal(port.protocol, "tcp");
	assert_int_equal(port.port, 80);
	assert_int_equal(port.host_port, 10080);
	assert_int_equal(port.listens.count, 2);
	assert_true(port.moved && !port.published && !port.publish && !port.reason);
	again = port_encode(&port);
	assert_null(json_object_get(again, "extra"));
	assert_int_equal(port_decode(&copy, again, "port", NULL), 0);
	twice = port_encode(&copy);
	assert_true(json_equal(again, twice));
}

static void what_is_no_port_is_refused(void **state)
{
	static const char *const wrong[][2] = {
		{"protocol", "\"sctp\""}, {"protocol", "null"},   {"port", "0"},
		{"port", "65536"},        {"port", "\"80\""},     {"listens", "[\"nowhere\"]"},
		{"listens", "[1]"},       {"pid", "2147483648"},  {"host", "\"localhost\""},
		{"host", "\"\""},         {"host-port", "65536"}, {"state", "\"ajar\""},
		{"moved", "1"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		auto_json json_t *object = json_loads(good, 0, NULL);
		auto_error struct annex_error *err = NULL;
		auto_port struct port port = {0};

		assert_int_equal(
			json_object_set_new(object, wrong[i][0], json_loads(wrong[i][1], JSON_DECODE_ANY, NULL)), 0);
		assert_int_equal(port_decode(&port, object, "port", &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_port_is_what_it_was),
		cmocka_unit_test(what_is_no_port_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
