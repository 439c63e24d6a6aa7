#include "test.h"

#include "network/caller.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Two sockets of ours, one of which at least tries to connect to the other. */
static void make_pair(int ret[2], struct sockaddr_in *ret_client, struct sockaddr_in *ret_server)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ret[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(ret[0] >= 0 && ret[1] >= 0);
	assert_int_equal(bind(ret[0], (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(ret[0], 1), 0);
	assert_int_equal(getsockname(ret[0], (struct sockaddr *)&address, &size), 0);
	*ret_server = address;
	assert_true(connect(ret[1], (struct sockaddr *)&address, size) == 0 || errno == EINPROGRESS);
	assert_int_equal(getsockname(ret[1], (struct sockaddr *)&address, &size), 0);
	*ret_client = address;
}

static void check_admits(uid_t ours, uid_t uid, bool expected)
{
	struct sockaddr_in client, server;
	struct caller *caller;
	int fds[2];

	assert_int_equal(caller_new(&caller, uid), 0);
	make_pair(fds, &client, &server);
	/* Root may come in whoever is asked for. */
	assert_int_equal(caller_admits(caller, IPPROTO_TCP, &client, &server), expected || ours == 0);
	close(fds[1]);
	close(fds[0]);
	caller_free(caller);
}

static void the_owner_may_come_in_and_nobody_else(void **state)
{
	uid_t uid = geteuid();

	(void)state;
	check_admits(uid, uid, true);
	check_admits(uid, uid + 1, false);
}

static void set_loopback(short flags)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = flags};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

static void a_loopback_that_is_down_holds_up_nothing_and_lets_nobody_in(void **state)
{
	struct sockaddr_in client, server;
	struct caller *before, *down;
	int fds[2];

	(void)state;
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		skip();
	alarm(20);
	assert_int_equal(caller_new(&before, geteuid()), 0);
	/* There are routes now, so that what is sent is lost rather than refused. */
	set_loopback(IFF_UP);
	set_loopback(0);
	assert_int_equal(caller_new(&down, geteuid()), 0);
	set_loopback(IFF_UP);
	make_pair(fds, &client, &server);
	assert_true(caller_admits(before, IPPROTO_TCP, &client, &server));
	assert_true(caller_admits(down, IPPROTO_TCP, &client, &server));
	/* Nobody's. */
	client.sin_port = htons(1);
	assert_false(caller_admits(before, IPPROTO_TCP, &client, &server));
	assert_false(caller_admits(down, IPPROTO_TCP, &client, &server));
	caller_free(before);
	caller_free(down);
	close(fds[0]);
	close(fds[1]);
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_owner_may_come_in_and_nobody_else),
		cmocka_unit_test(a_loopback_that_is_down_holds_up_nothing_and_lets_nobody_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
