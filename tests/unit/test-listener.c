/* The host's side of a machine's ports, with a machine that is nothing but a list of what was handed to it. */
#include "test.h"

#include "network/listener.h"

#include "base/file.h"
#include "network/address.h"
#include "network/caller.h"
#include "network/port.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { TAKEN_MAX = 64, NOBODY = 65534, TURN_MS = 5000 };

struct datagrams {
	int fd;
	uint16_t port;
	datagrams_admit_fn *admit;
	void *data;
};

static struct loop *loop;
static struct listener *listener;
static uint32_t place;
static struct {
	int fd;
	uint16_t port;
} taken[TAKEN_MAX];
static size_t taken_count;
static struct datagrams *datagrams; /* the newest */
static unsigned scans;
static bool can_scan;

static void fake_connect(struct ports *ports, uint16_t port, int fd)
{
	(void)ports;
	assert_true(taken_count < TAKEN_MAX);
	taken[taken_count].fd = fd;
	taken[taken_count++].port = port;
}

static int fake_datagrams_new(struct datagrams **ret, struct ports *ports, uint16_t port, int fd,
			      datagrams_admit_fn *admit, void *data)
{
	struct datagrams *made = calloc(1, sizeof(*made));

	(void)ports;
	assert_non_null(made);
	*made = (struct datagrams){fd, port, admit, data};
	*ret = datagrams = made;
	return 0;
}

static void fake_datagrams_free(struct datagrams *gone)
{
	if (datagrams == gone)
		datagrams = NULL;
	close(gone->fd);
	free(gone);
}

static bool fake_scan(struct ports *ports)
{
	(void)ports;
	scans++;
	return can_scan;
}

static const struct way way = {fake_connect, fake_datagrams_new, fake_datagrams_free, fake_scan};

static void start(uid_t uid)
{
	struct listener_options options = {.name = "web", .place = place, .uid = uid, .way = &way};

	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(listener_new(&listener, loop, &options, NULL), 0);
}

static int set_up(void **state)
{
	(void)state;
	/* Of no machine, and of no other test that runs now. */
	place = 0xfe00u - ((uint32_t)getpid() % 32u + 1) * 0x100u + ((uint32_t)getpid() / 32u % 253u + 1);
	assert_true(place_is_valid(place));
	scans = 0;
	can_scan = false;
	start(geteuid());
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < taken_count; i++)
		close(taken[i].fd);
	taken_count = 0;
	listener_free(listener);
	loop_free(loop);
	return 0;
}

static void listen_in_machine(uint8_t protocol, const char *address, uint16_t port)
{
	const struct port_socket socket = {protocol, port, address, 77, "server"};

	listener_set_listening(listener, &socket, port ? 1 : 0);
}

static int dial_at(const char *address, uint16_t port)
{
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, address, &there.sin_addr), 1);
	if (connect(fd, (struct sockaddr *)&there, sizeof(there)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int dial(uint16_t port)
{
	char text[ADDRESS_TEXT];

	return dial_at(place_host_text(text, place), port);
}

/* Somebody else on this host. */
static int occupy(const char *address, uint16_t port, int type)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, address, &here.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* One that was free a moment ago. */
static uint16_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	auto_close int fd = occupy("0.0.0.0", 0, SOCK_STREAM);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	return ntohs(address.sin_port);
}

static void turn_until(size_t count)
{
	while (taken_count < count)
		assert_true(loop_turn(loop, TURN_MS));
}

/* What was handed over last is connected to `fd`. */
static void check_connected(int fd, uint16_t port)
{
	char byte = 0;

	assert_int_equal(taken[taken_count - 1].port, port);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(fcntl(taken[taken_count - 1].fd, F_SETFL, 0), 0);
	assert_int_equal(read(taken[taken_count - 1].fd, &byte, 1), 1);
	assert_int_equal(byte, 'x');
}

static struct text_list told;
static bool was_told;

static void on_list(const char *const *ports, void *data)
{
	(void)data;
	text_list_clear(&told);
	assert_non_null(ports);
	for (; *ports; ports++)
		assert_int_equal(text_list_add(&told, *ports), 0);
	was_told = true;
}

/* All ports, one a line: "PROTOCOL PORT HOST:HOST-PORT STATE REASON". */
static const char *list(void)
{
	static char text[4096];

	was_told = false;
	assert_int_equal(listener_list(listener, on_list, NULL, NULL), 0);
	assert_true(was_told);
	*text = '\0';
	for (size_t i = 0; i < told.count; i++) {
		auto_port struct port port = {0};
		auto_json json_t *object = json_loads(told.items[i], 0, NULL);
		size_t used = strlen(text);

		assert_int_equal(port_decode(&port, object, "port", NULL), 0);
		snprintf(text + used, sizeof(text) - used, "%s %u %s:%u %s %s%s%s\n", port.protocol,
			 (unsigned)port.port, port.host, (unsigned)port.host_port, port.state,
			 port.reason ? port.reason : "-", port.moved ? " moved" : "",
			 port.published ? " published" : "");
	}
	text_list_clear(&told);
	return text;
}

PRINTF_LIKE(1, 2) static void check_list(const char *format, ...)
{
	char wanted[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(wanted, sizeof(wanted), format, args);
	va_end(args);
	assert_string_equal(list(), wanted);
}

static void what_listens_in_the_machine_does_so_at_its_address_until_it_ends(void **state)
{
	uint16_t port = free_port();
	char text[ADDRESS_TEXT];
	auto_close int client = -1, late = -1;

	(void)state;
	assert_int_equal(dial(port), -1);
	listen_in_machine(IPPROTO_TCP, "127.0.0.1", port);
	client = dial(port);
	assert_true(client >= 0);
	turn_until(1);
	check_connected(client, port);
	check_list("tcp %u %s:%u open -\n", port, place_host_text(text, place), port);
	listen_in_machine(0, NULL, 0);
	late = dial(port);
	assert_int_equal(late, -1);
	check_connected(client, port); /* goes on */
	check_list("%s", "");
}

static void a_service_that_comes_and_goes_a_hundred_times_is_there_each_time(void **state)
{
	uint16_t port = free_port();

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		auto_close int client = -1;

		listen_in_machine(IPPROTO_TCP, "::", port);
		client = dial(port);
		assert_true(client >= 0);
		turn_until(1);
		check_connected(client, port);
		close(taken[--taken_count].fd); /* this end first: it lingers */
		listen_in_machine(0, NULL, 0);
		assert_int_equal(dial(port), -1);
	}
}

static void one_port_is_listed_once_with_all_its_addresses(void **state)
{
	uint16_t port = free_port();
	const struct port_socket sockets[] = {{IPPROTO_TCP, port, "127.0.0.1", 5, "a"},
					      {IPPROTO_TCP, port, "::", 6, "a"}};
	auto_port struct port told_port = {0};
	auto_json json_t *object = NULL;

	(void)state;
	listener_set_listening(listener, sockets, 2);
	assert_int_equal(listener_list(listener, on_list, NULL, NULL), 0);
	assert_int_equal(told.count, 1);
	object = json_loads(told.items[0], 0, NULL);
	assert_int_equal(port_decode(&told_port, object, "port", NULL), 0);
	assert_int_equal(told_port.listens.count, 2);
	assert_int_equal(told_port.pid, 0);
	assert_string_equal(told_port.process, "a");
	text_list_clear(&told);
}

/* A program of another user where this one can change users, else one that is not wanted. */
static int dial_as_another(uint16_t port)
{
	int ends[2], status = 0;
	char answer = 0;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		int fd;

		if (getuid() == 0 && (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
			_exit(2);
		fd = dial(port);
		(void)!write(ends[1], "c", 1);
		/* The end, or a reset: never a byte. */
		_exit(fd < 0 || read(fd, &answer, 1) > 0 ? 1 : 0);
	}
	assert_true(pid > 0);
	close(ends[1]);
	assert_int_equal(read(ends[0], &answer, 1), 1);
	close(ends[0]);
	while (loop_turn(loop, TURN_MS) && taken_count == 0 && waitpid(pid, &status, WNOHANG) == 0)
		;
	if (taken_count > 0)
		close(taken[0].fd);
	(void)!waitpid(pid, &status, 0);
	return status;
}

static void connections_of_other_users_are_closed(void **state)
{
	uint16_t port = free_port();
	auto_close int client = -1;

	(void)state;
	if (getuid() != 0) {
		tear_down(NULL);
		start(getuid() + 1);
	}
	listen_in_machine(IPPROTO_TCP, "0.0.0.0", port);
	assert_int_equal(dial_as_another(port), 0);
	assert_int_equal(taken_count, 0);
	if (getuid() != 0)
		return;
	client = dial(port);
	turn_until(1);
	check_connected(client, port);
}

static void published_ports_are_for_every_user(void **state)
{
	uint16_t port = free_port();
	char text[64];

	(void)state;
	if (getuid() != 0)
		return; /* it has nobody to be */
	snprintf(text, sizeof(text), "0.0.0.0:%u:80", port);
	assert_int_equal(listener_publish(listener, text, NULL), 0);
	(void)dial_as_another(port);
	assert_int_equal(taken_count, 1);
	assert_int_equal(taken[0].port, 80);
	taken_count = 0;
}

/* Kernels call what is closed root's, or its user's. Neither is let in by that. */
static void closing_at_once_lets_nobody_in(void **state)
{
	uint16_t port = free_port();
	int client;

	(void)state;
	if (getuid() != 0) {
		tear_down(NULL);
		start(getuid() + 1);
	}
	listen_in_machine(IPPROTO_TCP, "0.0.0.0", port);
	client = dial(port);
	assert_true(client >= 0);
	close(client);
	assert_true(loop_turn(loop, TURN_MS));
	assert_int_equal(taken_count, 0);
}

static void datagrams_are_asked_for_their_sender_too(void **state)
{
	uint16_t port = free_port();
	auto_close int client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = place_host(place)};
	struct sockaddr_storage peer = {0};
	socklen_t size = sizeof(peer);
	char byte;

	(void)state;
	listen_in_machine(IPPROTO_UDP, "0.0.0.0", port);
	assert_non_null(datagrams);
	assert_int_equal(datagrams->port, port);
	assert_int_equal(sendto(client, "x", 1, 0, (struct sockaddr *)&there, sizeof(there)), 1);
	assert_int_equal(recvfrom(datagrams->fd, &byte, 1, 0, (struct sockaddr *)&peer, &size), 1);
	assert_true(datagrams->admit(&peer, datagrams->data));
	close(TAKE_FD(client));
	assert_false(datagrams->admit(&peer, datagrams->data));
	listen_in_machine(0, NULL, 0);
	assert_null(datagrams);
}

/* Whoever uses up what the kernel is asked by does not get in for that. */
static void nobody_is_let_in_where_it_could_not_be_tried(void **state)
{
	const struct sockaddr_in peer = {
		.sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = 1, .sin_addr = place_host(place)};
	struct rlimit before, few;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (unsigned left = 0; left < 3; left++) {
		int lowest = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0), result;
		struct caller *caller = NULL;

		assert_true(lowest >= 0);
		close(lowest);
		few = (struct rlimit){(rlim_t)lowest + left, before.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		result = caller_new(&caller, NOBODY);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_int_equal(result, 0);
		assert_false(caller_admits(caller, IPPROTO_TCP, &peer, &local));
		assert_false(caller_admits(caller, IPPROTO_UDP, &peer, &local));
		caller_free(caller);
	}
}

static void a_port_that_somebody_has_is_refused_until_it_is_free(void **state)
{
	uint16_t port = free_port();
	char text[ADDRESS_TEXT];
	const char *address = place_host_text(text, place);
	auto_close int other = occupy(address, port, SOCK_STREAM), client = -1;

	(void)state;
	listen_in_machine(IPPROTO_TCP, "0.0.0.0", port);
	check_list("tcp %u %s:0 refused taken\n", port, address);
	close(TAKE_FD(other));
	check_list("tcp %u %s:%u open -\n", port, address, port);
	client = dial(port);
	turn_until(1);
	check_connected(client, port);
}

PRINTF_LIKE(1, 2) static int publish_error(const char *format, ...)
{
	auto_error struct annex_error *err = NULL;
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return listener_publish(listener, text, &err) < 0 ? (int)annex_error_kind(err) : 0;
}

static void published_ports_listen_whatever_the_machine_does(void **state)
{
	uint16_t port = free_port();
	auto_close int client = -1;

	(void)state;
	assert_int_equal(publish_error("%u:80", port), 0);
	assert_int_equal(publish_error("%u:80", port), 0); /* it is already */
	assert_int_equal(publish_error("%u:81", port), ANNEX_ERROR_EXISTS);
	assert_int_equal(publish_error("0.0.0.0:%u:80", port), ANNEX_ERROR_EXISTS);
	check_list("tcp 80 127.0.0.1:%u waiting - published\n", port);
	client = dial_at("127.0.0.1", port);
	turn_until(1);
	check_connected(client, 80);
	assert_int_equal(listener_unpublish(listener, "1", NULL), -1);
	assert_int_equal(listener_unpublish(listener, "x", NULL), -1);
	assert_int_equal(listener_unpublish(listener, "127.0.0.1::80", NULL), -1);
	{
		char text[16];

		snprintf(text, sizeof(text), "%u", port);
		assert_int_equal(listener_unpublish(listener, text, NULL), 0);
	}
	assert_int_equal(dial_at("127.0.0.1", port), -1);
	check_list("%s", "");
}

static void a_published_port_opens_as_something_listens(void **state)
{
	uint16_t port = free_port(), guest = free_port();
	char text[ADDRESS_TEXT];

	(void)state;
	assert_int_equal(publish_error("[::1]:%u:%u", port, guest), 0);
	listen_in_machine(IPPROTO_TCP, "127.0.0.1", guest);
	check_list("tcp %u ::1:%u open - published\ntcp %u %s:%u open -\n", guest, port, guest,
		   place_host_text(text, place), guest);
}

static void a_range_is_published_whole_or_not_at_all(void **state)
{
	/* Below those that are handed out by themselves. */
	uint16_t first = (uint16_t)(20000 + getpid() % 1000 * 10);
	auto_close int other = occupy("127.0.0.1", (uint16_t)(first + 2), SOCK_STREAM), client = -1;
	auto_error struct annex_error *err = NULL;
	char text[64], says[64];

	(void)state;
	snprintf(text, sizeof(text), "%u-%u:100-103", first, first + 3);
	assert_int_equal(listener_publish(listener, text, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_EXISTS);
	snprintf(says, sizeof(says), "port 127.0.0.1:%u is taken", first + 2);
	assert_string_equal(annex_error_message(err), says);
	assert_int_equal(dial_at("127.0.0.1", first), -1);
	close(TAKE_FD(other));
	assert_int_equal(listener_publish(listener, text, NULL), 0);
	client = dial_at("127.0.0.1", (uint16_t)(first + 3));
	turn_until(1);
	check_connected(client, 103);
}

static void a_free_port_is_chosen_where_none_is_named(void **state)
{
	auto_close int client = -1;
	unsigned port;
	const char *at;

	(void)state;
	assert_int_equal(publish_error(":80"), 0);
	at = strstr(list(), "127.0.0.1:");
	assert_non_null(at);
	port = (unsigned)atoi(at + strlen("127.0.0.1:"));
	assert_true(port > 0);
	client = dial_at("127.0.0.1", (uint16_t)port);
	turn_until(1);
	check_connected(client, 80);
}

static void datagrams_are_published_as_well(void **state)
{
	uint16_t port = free_port();
	auto_close int other = occupy("127.0.0.1", port, SOCK_DGRAM);
	struct sockaddr_storage anybody = {.ss_family = AF_INET};

	(void)state;
	assert_int_equal(publish_error("%u:53/udp", port), ANNEX_ERROR_EXISTS);
	close(TAKE_FD(other));
	assert_int_equal(publish_error("%u:53/udp", port), 0);
	assert_int_equal(datagrams->port, 53);
	assert_true(datagrams->admit(&anybody, datagrams->data));
	check_list("udp 53 127.0.0.1:%u waiting - published\n", port);
}

static void what_is_published_comes_before_the_machines_own(void **state)
{
	uint16_t port = free_port();
	char text[ADDRESS_TEXT];
	const char *address = place_host_text(text, place);
	auto_close int client = -1;

	(void)state;
	listen_in_machine(IPPROTO_TCP, "0.0.0.0", port);
	assert_int_equal(publish_error("0.0.0.0:%u:80", port), 0);
	check_list("tcp 80 0.0.0.0:%u waiting - published\ntcp %u %s:0 refused published as 0.0.0.0:%u:80\n", port,
		   port, address, port);
	assert_int_equal(listener_unpublish(listener, "80", NULL), -1);
	{
		char pattern[16];

		snprintf(pattern, sizeof(pattern), "%u", port);
		assert_int_equal(listener_unpublish(listener, pattern, NULL), 0);
	}
	client = dial(port);
	turn_until(1);
	check_connected(client, port);
}

static void an_address_that_is_not_here_is_told(void **state)
{
	(void)state;
	assert_int_equal(publish_error("192.0.2.1:8080:80"), ANNEX_ERROR_NOT_FOUND);
	assert_int_equal(publish_error("8080"), publish_error("127.0.0.1:8080:8080"));
	assert_int_equal(publish_error("http"), ANNEX_ERROR_USAGE);
}

static void the_list_waits_for_the_machines_answer(void **state)
{
	uint16_t port = free_port();
	char text[ADDRESS_TEXT];

	(void)state;
	can_scan = true;
	was_told = false;
	assert_int_equal(listener_list(listener, on_list, NULL, NULL), 0);
	assert_int_equal(scans, 1);
	assert_false(was_told);
	listen_in_machine(IPPROTO_TCP, "0.0.0.0", port);
	assert_true(was_told);
	assert_int_equal(told.count, 1);
	can_scan = false;
	check_list("tcp %u %s:%u open -\n", port, place_host_text(text, place), port);
}

/* As a user who may not have ports below 1024. */
static void check_privileged(void)
{
	char text[ADDRESS_TEXT];
	const char *address = place_host_text(text, place);
	const struct port_socket both[] = {{IPPROTO_TCP, 81, "0.0.0.0", 1, "a"},
					   {IPPROTO_TCP, 10081, "0.0.0.0", 2, "b"}};
	auto_error struct annex_error *err = NULL;
	auto_close int client = -1;

	start(getuid());
	listener_set_listening(listener, both, 1);
	check_list("tcp 81 %s:10081 open - moved\n", address);
	client = dial(10081);
	turn_until(1);
	check_connected(client, 81);
	/* Something of the machine's own has that number now. */
	listener_set_listening(listener, both, 2);
	assert_non_null(strstr(list(), "tcp 81 "));
	assert_null(strstr(list(), "tcp 81 127.88.0.0:10081"));
	close(TAKE_FD(client));
	client = dial(10081);
	turn_until(2);
	check_connected(client, 10081);
	assert_int_equal(listener_publish(listener, "80:80", &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_UNSUPPORTED);
	assert_non_null(strstr(annex_error_hint(err), "ip_unprivileged_port_start=80"));
	tear_down(NULL);
}

static void ports_for_root_only_are_moved(void **state)
{
	auto_free char *start_text = NULL;
	size_t size;
	uint32_t first = 0;
	int status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(file_read(&start_text, &size, AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", 64),
			 0);
	start_text[strcspn(start_text, "\n")] = '\0';
	assert_int_equal(text_to_u32(&first, start_text, 10), 0);
	if (first <= 81)
		return;
	pid = fork();
	if (pid == 0) {
		if (getuid() == 0 && (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
			_exit(2);
		check_privileged();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Connections that nobody has descriptors for wait, and cost nothing meanwhile. */
static void without_descriptors_connections_wait(void **state)
{
	enum { CLIENTS = 8 };
	uint16_t port = free_port();
	struct rlimit before, low;
	int clients[CLIENTS], highest = 0;

	(void)state;
	listen_in_machine(IPPROTO_TCP, "0.0.0.0", port);
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = dial(port);
		assert_true(clients[i] >= 0);
		highest = clients[i] > highest ? clients[i] : highest;
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = (rlim_t)highest + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_true(loop_turn(loop, TURN_MS));
	assert_false(loop_turn(loop, 0)); /* it is not tried again at once */
	assert_int_equal(taken_count, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	turn_until(CLIENTS);
	for (size_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_listens_in_the_machine_does_so_at_its_address_until_it_ends),
		TEST(a_service_that_comes_and_goes_a_hundred_times_is_there_each_time),
		TEST(one_port_is_listed_once_with_all_its_addresses),
		TEST(connections_of_other_users_are_closed),
		TEST(published_ports_are_for_every_user),
		TEST(closing_at_once_lets_nobody_in),
		TEST(datagrams_are_asked_for_their_sender_too),
		TEST(nobody_is_let_in_where_it_could_not_be_tried),
		TEST(a_port_that_somebody_has_is_refused_until_it_is_free),
		TEST(published_ports_listen_whatever_the_machine_does),
		TEST(a_published_port_opens_as_something_listens),
		TEST(a_range_is_published_whole_or_not_at_all),
		TEST(a_free_port_is_chosen_where_none_is_named),
		TEST(datagrams_are_published_as_well),
		TEST(what_is_published_comes_before_the_machines_own),
		TEST(an_address_that_is_not_here_is_told),
		TEST(the_list_waits_for_the_machines_answer),
		TEST(without_descriptors_connections_wait),
		cmocka_unit_test_setup_teardown(ports_for_root_only_are_moved, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
