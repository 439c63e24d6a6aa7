#include "test.h"

#include "network/local.h"

#include "base/file.h"
#include "base/text.h"
#include "base/time.h"

#include <arpa/inet.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { DEADLINE_MS = 60000 };

static struct packet_address address(const char *text)
{
	struct packet_address made = {.v6 = strchr(text, ':') != NULL};

	assert_int_equal(inet_pton(made.v6 ? AF_INET6 : AF_INET, text, &made.of), 1);
	return made;
}

static enum local_kind find(const struct local *local, const char *text)
{
	struct packet_address wanted = address(text);

	return local_find(local, &wanted);
}

/* A network of our own, so that addresses can be changed. False: this kernel or user may not. */
static bool own_network(void)
{
	return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

static void set_v4(int fd, unsigned long what, const char *text)
{
	struct ifreq request = {.ifr_name = "lo"};
	struct sockaddr_in of = {.sin_family = AF_INET, .sin_addr = address(text).of.v4};

	memcpy(&request.ifr_addr, &of, sizeof(of));
	assert_int_equal(ioctl(fd, what, &request), 0);
}

static void bring_up(int fd)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
}

static int change_v6(unsigned long what, const char *text)
{
	struct in6_ifreq request = {.ifr6_prefixlen = 128, .ifr6_ifindex = 1};
	auto_close int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	request.ifr6_addr = address(text).of.v6_;
	return fd < 0 ? -1 : ioctl(fd, what, &request);
}

static void wait_for(struct loop *loop, const struct local *local, const char *text, enum local_kind kind)
{
	uint64_t end = time_monotonic_ms() + DEADLINE_MS;

	while (find(local, text) != kind) {
		loop_turn(loop, 1000);
		assert_true(time_monotonic_ms() < end);
	}
}

static void the_hosts_addresses_are_known_and_followed(void **state)
{
	auto_loop struct loop *loop = NULL;
	auto_local struct local *local = NULL;
	auto_close int fd = -1;

	(void)state;
	if (!own_network())
		skip();
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(local_new(&local, loop, NULL), 0);
	assert_int_equal(find(local, "127.0.0.1"), LOCAL_NOT);

	bring_up(fd);
	wait_for(loop, local, "127.0.0.1", LOCAL_OWN);
	assert_int_equal(find(local, "127.88.3.7"), LOCAL_OWN);
	assert_int_equal(find(local, "127.255.255.255"), LOCAL_BROADCAST);
	assert_int_equal(find(local, "10.9.8.7"), LOCAL_NOT);

	set_v4(fd, SIOCSIFADDR, "10.9.8.7");
	wait_for(loop, local, "10.9.8.7", LOCAL_OWN);
	assert_int_equal(find(local, "127.88.3.7"), LOCAL_NOT);
	/* Of a loopback interface the whole network is the host's. */
	wait_for(loop, local, "10.200.1.1", LOCAL_OWN);
	wait_for(loop, local, "10.255.255.255", LOCAL_BROADCAST);
	assert_int_equal(find(local, "11.0.0.1"), LOCAL_NOT);
	set_v4(fd, SIOCSIFADDR, "172.16.7.7");
	wait_for(loop, local, "10.9.8.7", LOCAL_NOT);

	if (change_v6(SIOCSIFADDR, "2001:db8::7") < 0)
		return;
	wait_for(loop, local, "2001:db8::7", LOCAL_OWN);
	assert_int_equal(find(local, "2001:db8::8"), LOCAL_NOT);
	assert_int_equal(find(local, "::1"), LOCAL_OWN);
	assert_int_equal(change_v6(SIOCDIFADDR, "2001:db8::7"), 0);
	wait_for(loop, local, "2001:db8::7", LOCAL_NOT);
}

static void many_changes_at_once_are_followed(void **state)
{
	auto_loop struct loop *loop = NULL;
	auto_local struct local *local = NULL;
	char text[INET6_ADDRSTRLEN];

	(void)state;
	if (!own_network())
		skip();
	{
		auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		bring_up(fd);
	}
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(local_new(&local, loop, NULL), 0);
	if (change_v6(SIOCSIFADDR, "2001:db8::1:0") < 0)
		skip();
	/* More than what the events' socket has room for. */
	for (unsigned i = 1; i < 1500; i++) {
		snprintf(text, sizeof(text), "2001:db8::1:%x", i);
		assert_int_equal(change_v6(SIOCSIFADDR, text), 0);
	}
	wait_for(loop, local, text, LOCAL_OWN);
	wait_for(loop, local, "2001:db8::1:0", LOCAL_OWN);
	wait_for(loop, local, "2001:db8::1:2ff", LOCAL_OWN);
	assert_int_equal(find(local, "2001:db8::1:ffff"), LOCAL_NOT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hosts_addresses_are_known_and_followed),
		cmocka_unit_test(many_changes_at_once_are_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
