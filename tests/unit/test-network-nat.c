/* What libslirp is given of a machine's frames, and what it may cost. */
#include "frame-guest.h"

#include "network/nat.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/resource.h>

enum { PIECE = 60000, PIECES = 300, MORE = 100 };

struct place {
	struct loop *loop;
	struct nat *nat;
	struct guest guest;
	int listener;
	uint16_t port;
	uint8_t frame[PACKET_MAX];
};

static void deliver(const uint8_t *frame, size_t size, void *data)
{
	(void)frame, (void)size, (void)data;
}

static int set_up(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct place *place = calloc(1, sizeof(*place));
	struct nat_options options = {.place = GUEST_PLACE, .deliver = deliver};
	socklen_t size = sizeof(address);

	assert_non_null(place);
	place->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(place->listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(place->listener, 16), 0);
	assert_int_equal(getsockname(place->listener, (struct sockaddr *)&address, &size), 0);
	options.resolver = place->port = ntohs(address.sin_port);
	assert_int_equal(loop_new(&place->loop), 0);
	guest_open(&place->guest);
	assert_int_equal(nat_new(&place->nat, place->loop, &options, NULL), 0);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	nat_free(place->nat);
	guest_close(&place->guest);
	cleanup_close(&place->listener);
	loop_free(place->loop);
	free(place);
	return 0;
}

static void give(struct place *place, const uint8_t *frame, size_t size)
{
	struct uplink *uplink = nat_uplink(place->nat);
	struct packet packet;

	assert_true(packet_parse(&packet, frame, size));
	uplink->type->send(uplink, &packet);
}

static void settle(struct place *place)
{
	struct uplink *uplink = nat_uplink(place->nat);

	uplink->type->settle(uplink);
}

/* The beginning of a connection. */
static void begin(struct place *place, const char *address, uint16_t port, uint16_t own_port)
{
	struct guest_tcp tcp = {.guest = &place->guest, .port = port, .own_port = own_port, .sent = 1000};
	ssize_t size;

	frames_way(&tcp.way, GUEST_PLACE, "198.19.3.7", PLACE_GATEWAY, address);
	guest_segment(&tcp, GUEST_SYN, NULL, 0);
	size = recv(place->guest.far, place->frame, sizeof(place->frame), 0);
	assert_true(size > 0);
	give(place, place->frame, (size_t)size);
}

/* The first ones, whose others never come: they would be kept. */
static void pieces_of_datagrams_are_not_put_together(void **state)
{
	struct place *place = *state;
	static uint8_t payload[PIECE];
	struct frames_way way;
	size_t before = mallinfo2().uordblks, size;
	uint8_t *ip = place->frame + PACKET_ETHERNET;

	frames_way(&way, GUEST_PLACE, "198.19.3.7", PLACE_GATEWAY, "192.0.2.1");
	size = compose_udp(place->frame, &way.way, 4000, 9, payload, sizeof(payload));
	assert_true(size > 0);
	for (unsigned i = 0; i < PIECES; i++) {
		uint16_t sum;

		ip[4] = (uint8_t)(i >> 8);
		ip[5] = (uint8_t)i;
		ip[6] = 0x20; /* more of it comes */
		memset(ip + 10, 0, 2);
		sum = (uint16_t)~guest_sum(ip, 20, 0);
		ip[10] = (uint8_t)(sum >> 8);
		ip[11] = (uint8_t)sum;
		give(place, place->frame, size);
	}
	settle(place);
	assert_true(mallinfo2().uordblks < before + (1u << 20));
}

static size_t open_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void connections_have_a_limit(void **state)
{
	struct place *place = *state;
	size_t before = open_files(), made;
	struct rlimit files;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	if (files.rlim_max < NAT_SOCKETS_MAX + 3 * MORE + before)
		skip();
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	for (unsigned i = 0; i < NAT_SOCKETS_MAX + 2 * MORE; i++) {
		begin(place, "198.19.255.1", place->port, (uint16_t)(10000 + i));
		if (i % MORE == 0)
			settle(place);
	}
	made = open_files() - before;
	assert_in_range(made, NAT_SOCKETS_MAX, NAT_SOCKETS_MAX + MORE);
}

static int take(const struct place *place, struct sockaddr_in *ret)
{
	socklen_t size = sizeof(*ret);
	int fd = accept4(place->listener, (struct sockaddr *)ret, &size, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void only_a_connection_to_the_resolver_is_the_machines(void **state)
{
	struct place *place = *state;
	struct sockaddr_in other = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, client;
	socklen_t size = sizeof(other);
	int fd, elsewhere = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(elsewhere, (struct sockaddr *)&other, size), 0);
	assert_int_equal(listen(elsewhere, 1), 0);
	assert_int_equal(getsockname(elsewhere, (struct sockaddr *)&other, &size), 0);
	begin(place, "198.19.255.1", ntohs(other.sin_port), 10000);
	settle(place);
	fd = accept4(elsewhere, (struct sockaddr *)&client, &size, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	assert_false(nat_owns(place->nat, client.sin_addr, ntohs(client.sin_port)));
	close(fd);
	begin(place, "198.19.255.53", 53, 10001);
	settle(place);
	fd = take(place, &client);
	assert_true(nat_owns(place->nat, client.sin_addr, ntohs(client.sin_port)));
	close(fd);
	close(elsewhere);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(pieces_of_datagrams_are_not_put_together),
		TEST(connections_have_a_limit),
		TEST(only_a_connection_to_the_resolver_is_the_machines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
