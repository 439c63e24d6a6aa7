#include "test.h"

#include "network/address.h"

#include <arpa/inet.h>

static void all_addresses_of_a_place_lead_back_to_it(void **state)
{
	char text[ADDRESS_TEXT];
	uint8_t hardware[6];
	struct in6_addr address6;
	uint32_t place = 0;

	(void)state;
	for (uint32_t i = 0; i < 0x10000; i += 251) {
		assert_true(place_of_host(&place, place_host(i)) && place == i);
		assert_true(place_of_guest(&place, place_guest(i)) && place == i);
		address6 = place_guest6(i);
		assert_true(place_of_guest6(&place, &address6) && place == i);
		place_hardware(hardware, i);
		assert_true(place_of_hardware(&place, hardware) && place == i);
	}
	assert_string_equal(place_host_text(text, 0x307), "127.88.3.7");
	assert_string_equal(place_guest_text(text, 0x307), "198.19.3.7");
	assert_string_equal(place_guest6_text(text, 0x307), "fd61:6e6e:6578::307");
}

static void foreign_addresses_are_no_places(void **state)
{
	struct in6_addr other;
	uint32_t place = 0;

	(void)state;
	assert_false(place_of_host(&place, (struct in_addr){htonl(0x7f590307)}));
	assert_false(place_of_guest(&place, (struct in_addr){htonl(0xc6120307)}));
	assert_int_equal(inet_pton(AF_INET6, "fd61:6e6e:6578:1::307", &other), 1);
	assert_false(place_of_guest6(&place, &other));
	assert_false(place_of_hardware(&place, (const uint8_t[6]){2, 0x61, 0x6e, 0x79, 3, 7}));
}

static void annexs_own_places_and_the_ends_of_a_block_are_no_machines(void **state)
{
	static const uint32_t bad[] = {0,      0x1,       0xff,          0x100,     0x1ff,
				       0xfe00, PLACE_OWN, PLACE_GATEWAY, PLACE_DNS, 0x10101};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(place_is_valid(bad[i]));
	assert_true(place_is_valid(0x101) && place_is_valid(0xfefe) && place_is_valid(0x307));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_addresses_of_a_place_lead_back_to_it),
		cmocka_unit_test(foreign_addresses_are_no_places),
		cmocka_unit_test(annexs_own_places_and_the_ends_of_a_block_are_no_machines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
