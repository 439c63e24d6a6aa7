/* annex-network itself, confined, with a machine that a test plays: what it carries, and what it does not. */
#include "frame-guest.h"

#include "base/file.h"
#include "confine/support.h"
#include "network/process.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

struct place {
	struct loop *loop;
	struct network_process *process;
	struct guest guest;
	struct message_network_setup setup;
	int uplink;
	bool serving, ended, answered, failed, listed;
	char why[256];
};

static void on_serving(void *data)
{
	((struct place *)data)->serving = true;
}

static void on_ended(const struct annex_error *err, void *data)
{
	struct place *place = data;

	place->ended = true;
	snprintf(place->why, sizeof(place->why), "%s", err ? annex_error_message(err) : "");
}

static const struct network_callbacks callbacks = {.on_serving = on_serving, .on_ended = on_ended};

static void on_answer(const struct annex_error *refusal, const char *const *ports, void *data)
{
	struct place *place = data;

	place->answered = true;
	place->failed = refusal != NULL;
	place->listed = ports != NULL;
	snprintf(place->why, sizeof(place->why), "%s", refusal ? annex_error_message(refusal) : "");
}

static void begin(struct place *place)
{
	char self[PATH_MAX] = {0}, program[PATH_MAX];
	const struct network_process_options options = {.program = program,
							.setup = place->setup,
							.ethernet = place->guest.far,
							.ports = -1,
							.uplink = place->uplink};

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	assert_true(snprintf(program, sizeof(program), "%s/annex-network", dirname(dirname(self))) < PATH_MAX);
	place->serving = place->ended = false;
	assert_int_equal(network_process_start(&place->process, place->loop, &options, &callbacks, place, NULL), 0);
	while (!place->serving && !place->ended)
		assert_true(loop_turn(place->loop, GUEST_WAIT_MS));
	if (place->ended)
		print_error("%s\n", place->why);
	assert_true(place->serving);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	assert_int_equal(loop_new(&place->loop), 0);
	guest_open(&place->guest);
	place->uplink = -1;
	place->setup = (struct message_network_setup){
		.name = "dev", .address = GUEST_PLACE, .flags = NETWORK_ETHERNET | NETWORK_HOST_ACCESS};
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	network_process_free(place->process);
	guest_close(&place->guest);
	cleanup_close(&place->uplink);
	loop_free(place->loop);
	free(place);
	return 0;
}

static void wait_for_answer(struct place *place)
{
	while (!place->answered)
		assert_true(loop_turn(place->loop, GUEST_WAIT_MS));
	place->answered = false;
}

/* --- a server on the host's loopback, which sends back what it gets --- */

struct server {
	int fd;
	uint16_t port;
	pthread_t thread;
};

static void *serve_one(void *data)
{
	int fd = *(int *)data;
	char chunk[16384];
	ssize_t got;

	free(data);
	while ((got = read(fd, chunk, sizeof(chunk))) > 0)
		for (ssize_t done = 0, n; done < got; done += n)
			if ((n = send(fd, chunk + done, (size_t)(got - done), MSG_NOSIGNAL)) <= 0)
				break;
	close(fd);
	return NULL;
}

static void *serve(void *data)
{
	const struct server *server = data;

	for (;;) {
		int *fd = malloc(sizeof(*fd));
		pthread_t thread;

		assert_non_null(fd);
		*fd = accept(server->fd, NULL, NULL);
		if (*fd < 0) {
			free(fd);
			return NULL;
		}
		assert_int_equal(pthread_create(&thread, NULL, serve_one, fd), 0);
		pthread_detach(thread);
	}
}

/* The ports of both families are at the same place. */
static void server_start(struct server *server, struct sockaddr *address, socklen_t size)
{
	server->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, address, size), 0);
	assert_int_equal(listen(server->fd, 1024), 0);
	assert_int_equal(getsockname(server->fd, address, &size), 0);
	server->port = ntohs(((struct sockaddr_in *)address)->sin_port);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_open_at(struct server *server, struct in_addr at)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = at};

	server_start(server, (struct sockaddr *)&address, sizeof(address));
}

static void server_open(struct server *server, bool v6)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	if (v6)
		server_start(server, (struct sockaddr *)&address, sizeof(address));
	else
		server_open_at(server, (struct in_addr){htonl(INADDR_LOOPBACK)});
}

static void server_close(struct server *server)
{
	shutdown(server->fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->fd);
}

/* --- the tests --- */

static void exchange(struct place *place, const char *address, uint16_t port, size_t size)
{
	bool through_libslirp = place->uplink < 0;
	auto_free uint8_t *bytes = malloc(size);
	struct guest_tcp tcp;

	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	assert_true(guest_connect(&tcp, &place->guest, address, port));
	guest_write(&tcp, bytes, size);
	guest_read(&tcp, size);
	assert_int_equal(tcp.got_size, size);
	assert_memory_equal(tcp.got, bytes, size);
	/* Several fit into the window that libslirp has: else both ends wait for each other. */
	if (through_libslirp)
		assert_true(tcp.limit > 0 && tcp.limit <= 65535 / 3 && tcp.longest <= 65535 / 3);
	guest_finish(&tcp);
	assert_false(tcp.reset);
}

static void a_connection_reaches_a_server_on_the_hosts_loopback(void **state)
{
	struct place *place = *state;
	struct server server;

	begin(place);
	server_open(&server, false);
	exchange(place, "198.19.255.1", server.port, 1 << 20);
	server_close(&server);
	server_open(&server, true);
	exchange(place, "fd61:6e6e:6578::ff01", server.port, 1 << 20);
	server_close(&server);
}

static void without_host_access_nobody_listens_there(void **state)
{
	struct place *place = *state;
	struct guest_tcp tcp;
	struct server server;

	place->setup.flags &= ~(unsigned)NETWORK_HOST_ACCESS;
	begin(place);
	server_open(&server, false);
	assert_false(guest_connect(&tcp, &place->guest, "198.19.255.1", server.port));
	assert_true(tcp.reset);
	/* It can be had and taken away while the machine runs. Who is isolated has none. */
	place->setup.flags |= NETWORK_HOST_ACCESS | NETWORK_ISOLATED;
	assert_int_equal(network_process_change(place->process, &place->setup, on_answer, place, NULL), 0);
	wait_for_answer(place);
	assert_false(guest_connect(&tcp, &place->guest, "198.19.255.1", server.port));
	place->setup.flags &= ~(unsigned)NETWORK_ISOLATED;
	assert_int_equal(network_process_change(place->process, &place->setup, on_answer, place, NULL), 0);
	wait_for_answer(place);
	assert_false(place->failed);
	exchange(place, "198.19.255.1", server.port, 1000);
	server_close(&server);
}

/* libslirp takes memory without a limit of its own. */
static void its_memory_has_a_limit(void **state)
{
	struct place *place = *state;
	auto_free char *limits = NULL;
	char path[64];
	const char *line;

	begin(place);
	snprintf(path, sizeof(path), "/proc/%d/limits", (int)network_process_pid(place->process));
	assert_int_equal(file_read(&limits, NULL, AT_FDCWD, path, 1 << 16), 0);
	line = strstr(limits, "Max data size");
	assert_non_null(line);
	assert_int_not_equal(strncmp(line + strcspn(line, "0123456789u\n"), "unlimited", strlen("unlimited")), 0);
}

/* Pings the router. The frames that come before its answer are none of anybody's. */
static void assert_that_nothing_came(struct place *place)
{
	static const uint8_t echo[] = {8, 0, 0, 0, 1, 2, 3, 4, 'm', 'a', 'r', 'k'};
	uint8_t frame[PACKET_MAX];
	struct frames_way way;
	struct packet packet;

	frames_way(&way, GUEST_PLACE, "198.19.3.7", PLACE_GATEWAY, "198.19.255.1");
	guest_send(&place->guest, frame, compose_icmp(frame, &way.way, echo, sizeof(echo)));
	packet = guest_expect(&place->guest);
	assert_int_equal(packet.protocol, IPPROTO_ICMP);
	assert_int_equal(packet.payload[0], 0);
	assert_memory_equal(packet.payload + 4, echo + 4, sizeof(echo) - 4);
}

static void what_the_host_has_open_elsewhere_is_not_reached(void **state)
{
	static const char *const forbidden[] = {"127.0.0.1", "127.88.3.7", "0.0.0.0"};
	struct place *place = *state;
	struct server server;
	struct guest_tcp tcp;

	begin(place);
	server_open(&server, false);
	for (size_t i = 0; i < COUNT_OF(forbidden); i++) {
		tcp = (struct guest_tcp){.guest = &place->guest, .port = server.port, .own_port = 9, .sent = 1};
		frames_way(&tcp.way, GUEST_PLACE, "198.19.3.7", PLACE_GATEWAY, forbidden[i]);
		tcp.way.way.to = tcp.way.to;
		tcp.way.way.from = tcp.way.from;
		guest_segment(&tcp, GUEST_SYN, NULL, 0);
		if (i < 2) {
			struct packet packet;

			packet = guest_expect(&place->guest);
			assert_int_equal(packet.protocol, IPPROTO_ICMP);
		}
		assert_that_nothing_came(place);
	}
	server_close(&server);
}

/* "What is the IPv4 address of dev.annex.internal?" */
static const uint8_t question[] = {0x12, 0x34, 1,   0,   0,   1,   0,   0,   0,   0,   0, 0,
				   3,    'd',  'e', 'v', 5,   'a', 'n', 'n', 'e', 'x', 8, 'i',
				   'n',  't',  'e', 'r', 'n', 'a', 'l', 0,   0,   1,   0, 1};

static void assert_answer(const uint8_t *message, size_t size)
{
	assert_true(size >= sizeof(question) + 16);
	assert_memory_equal(message, ((const uint8_t[]){0x12, 0x34}), 2);
	assert_int_equal(message[7], 1);
	assert_memory_equal(message + sizeof(question) + 12, ((const uint8_t[]){198, 19, 3, 7}), 4);
}

static void the_resolver_knows_the_machine_by_udp_and_tcp(void **state)
{
	static const uint8_t length[2] = {0, sizeof(question)};
	struct place *place = *state;
	uint8_t frame[PACKET_MAX];
	struct frames_way way;
	struct guest_tcp tcp;
	struct packet packet;

	begin(place);
	frames_way(&way, GUEST_PLACE, "198.19.3.7", PLACE_DNS, "198.19.255.53");
	guest_send(&place->guest, frame, compose_udp(frame, &way.way, 4000, 53, question, sizeof(question)));
	packet = guest_expect(&place->guest);
	assert_int_equal(packet.source_port, 53);
	assert_answer(packet.payload, packet.payload_size);
	assert_true(guest_connect(&tcp, &place->guest, "198.19.255.53", 53));
	guest_write(&tcp, length, sizeof(length));
	guest_write(&tcp, question, sizeof(question));
	guest_read(&tcp, 2 + sizeof(question) + 16);
	assert_answer(tcp.got + 2, tcp.got_size - 2);
	guest_finish(&tcp);
	assert_false(guest_connect(&tcp, &place->guest, "198.19.255.53", 54));
}

static void datagrams_reach_a_server_on_the_hosts_loopback(void **state)
{
	struct place *place = *state;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	auto_close int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(address);
	uint8_t frame[PACKET_MAX];
	char text[64] = {0};
	struct packet packet;

	begin(place);
	assert_int_equal(bind(server, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(server, (struct sockaddr *)&address, &size), 0);
	guest_send(
		&place->guest, frame,
		frames_udp(frame, GUEST_PLACE, "198.19.3.7", "198.19.255.1", ntohs(address.sin_port), "are you there"));
	assert_int_equal(recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&address, &size), 13);
	assert_string_equal(text, "are you there");
	assert_int_equal(sendto(server, "I am", 4, 0, (struct sockaddr *)&address, size), 4);
	packet = guest_expect(&place->guest);
	assert_int_equal(packet.payload_size, 4);
	assert_memory_equal(packet.payload, "I am", 4);
}

/* The host's own, by which it goes outside. */
static bool outside_address(struct in_addr *ret)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("192.0.2.1"), .sin_port = htons(9)};
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(to);

	if (connect(fd, (struct sockaddr *)&to, size) < 0 || getsockname(fd, (struct sockaddr *)&to, &size) < 0)
		return false;
	*ret = to.sin_addr;
	return true;
}

/* passt itself, where it is and can work; what it carries, and a death of it that the machine sees as a reset. */
static void connections_go_through_passt(void **state)
{
	struct place *place = *state;
	char number[16];
	struct in_addr outside = {0};
	int pair[2], status;
	struct server server;
	struct guest_tcp tcp;
	pid_t pid;

	if (!outside_address(&outside)) {
		print_message("the host has no way outside\n");
		skip();
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	snprintf(number, sizeof(number), "%d", pair[1]);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pair[0]);
		execlp("passt", "passt", "-q", "-f", "-e", "-F", number, "-a", "198.19.3.7", "-n", "16", "-g",
		       "198.19.255.1", "-t", "none", "-u", "none", NULL);
		_exit(77);
	}
	close(pair[1]);
	usleep(300 * 1000);
	if (waitpid(pid, &status, WNOHANG) == pid) {
		close(pair[0]);
		print_message("passt is not there, or can't work here\n");
		skip();
	}
	place->uplink = pair[0];
	place->setup.flags |= NETWORK_PASST;
	begin(place);
	server_open_at(&server, outside);
	exchange(place, inet_ntoa(outside), server.port, 1 << 20);
	server_close(&server);
	server_open(&server, false); /* passt's gateway is the loopback */
	exchange(place, "198.19.255.1", server.port, 1 << 20);
	server_close(&server);
	assert_false(guest_connect(&tcp, &place->guest, "198.19.255.1", server.port));
	assert_true(tcp.reset);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(network_process_uplink(place->process, -1, on_answer, place, NULL), 0);
	wait_for_answer(place);
	assert_false(place->failed);
	server_open_at(&server, outside);
	exchange(place, inet_ntoa(outside), server.port, 1 << 20);
	/* A connection that nobody knows of. */
	tcp = (struct guest_tcp){.guest = &place->guest, .port = 80, .own_port = 9, .sent = 1, .expected = 1};
	frames_way(&tcp.way, GUEST_PLACE, "198.19.3.7", PLACE_GATEWAY, "192.0.2.1");
	tcp.way.way.to = tcp.way.to;
	tcp.way.way.from = tcp.way.from;
	guest_segment(&tcp, GUEST_ACK, "x", 1);
	assert_true(guest_step(&tcp, GUEST_WAIT_MS));
	assert_true(tcp.reset);
	server_close(&server);
}

static void a_thousand_connections_at_once(void **state)
{
	struct place *place = *state;
	struct guest_tcp *all = calloc(1000, sizeof(*all));
	struct server server;

	assert_non_null(all);
	begin(place);
	server_open(&server, false);
	for (size_t i = 0; i < 1000; i++)
		assert_true(guest_connect(&all[i], &place->guest, "198.19.255.1", server.port));
	for (size_t i = 0; i < 1000; i++) {
		guest_write(&all[i], "hello", 5);
		guest_read(&all[i], 5);
		assert_memory_equal(all[i].got, "hello", 5);
	}
	for (size_t i = 0; i < 1000; i++)
		guest_finish(&all[i]);
	server_close(&server);
	free(all);
}

static void a_machine_that_takes_nothing_blocks_nobody(void **state)
{
	struct place *place = *state;
	struct guest_tcp tcp;
	struct server server;
	size_t size = 4 << 20;
	auto_free uint8_t *bytes = calloc(1, size);
	char path[64], text[4096] = {0};
	auto_close int status = -EBADF;

	begin(place);
	server_open(&server, false);
	/* Answers to these have no room in the socket, and are not taken. */
	for (int i = 0; i < 20000; i++) {
		uint8_t frame[64];

		guest_send(&place->guest, frame, frames_arp(frame, GUEST_PLACE, "198.19.3.7", "198.19.255.1"));
	}
	assert_int_equal(network_process_list(place->process, on_answer, place, NULL), 0);
	wait_for_answer(place);
	assert_true(place->listed);
	snprintf(path, sizeof(path), "/proc/%d/statm", network_process_pid(place->process));
	status = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read(status, text, sizeof(text) - 1) > 0);
	assert_true(strtoul(strchr(text, ' '), NULL, 10) * 4096 < 64u << 20);
	exchange(place, "198.19.255.1", server.port, 100000);
	assert_non_null(bytes);
	assert_true(guest_connect(&tcp, &place->guest, "198.19.255.1", server.port));
	guest_finish(&tcp);
	server_close(&server);
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* Frames of all kinds for the host with bytes changed behind the addresses: libslirp gets most of them. */
static void nonsense_ends_nothing(void **state)
{
	static const char *const sources[] = {"198.19.3.7", "fd61:6e6e:6578::307"};
	static const char *const destinations[] = {"198.19.255.1", "fd61:6e6e:6578::ff01"};
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_FRAGMENT};
	struct place *place = *state;
	uint32_t random = 1;
	struct packet packet;
	struct server server;

	begin(place);
	server_open(&server, false);
	for (unsigned i = 0; i < 5000; i++) {
		unsigned v6 = next_random(&random) % 2;
		size_t header = PACKET_ETHERNET + (v6 ? 40 : 20), size;
		char text[256] = {0};
		uint8_t frame[512];

		memset(text, 'x', next_random(&random) % sizeof(text));
		size = frames_udp(frame, GUEST_PLACE, sources[v6], destinations[v6],
				  next_random(&random) % 2 ? server.port : 69, text);
		frame[PACKET_ETHERNET + (v6 ? 6 : 9)] = protocols[next_random(&random) % COUNT_OF(protocols)];
		for (unsigned n = next_random(&random) % 6; n > 0; n--)
			frame[header + next_random(&random) % (size - header)] = (uint8_t)next_random(&random);
		if (next_random(&random) % 8 == 0)
			frame[PACKET_ETHERNET + 1 + next_random(&random) % 8] = (uint8_t)next_random(&random);
		(void)send(place->guest.fd, frame, size, 0);
		while (guest_receive(&place->guest, &packet, 0))
			;
	}
	exchange(place, "198.19.255.1", server.port, 100000);
	assert_false(place->ended);
	server_close(&server);
}

static void a_new_process_goes_on_with_the_same_link(void **state)
{
	struct place *place = *state;
	struct server server;

	begin(place);
	server_open(&server, false);
	exchange(place, "198.19.255.1", server.port, 100000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(kill(network_process_pid(place->process), SIGKILL), 0);
		while (!place->ended)
			assert_true(loop_turn(place->loop, GUEST_WAIT_MS));
		assert_non_null(strstr(place->why, "killed"));
		network_process_free(place->process);
		place->process = NULL;
		begin(place);
		exchange(place, "198.19.255.1", server.port, 100000);
	}
	server_close(&server);
}

static void requests_are_answered_in_order_and_none_is_lost(void **state)
{
	struct place *place = *state;

	begin(place);
	assert_int_equal(network_process_publish(place->process, "8080:80", on_answer, place, NULL), 0);
	wait_for_answer(place);
	assert_true(place->failed); /* it has no link for ports */
	assert_non_null(strstr(place->why, "no link for ports"));
	assert_int_equal(network_process_list(place->process, on_answer, place, NULL), 0);
	assert_int_equal(kill(network_process_pid(place->process), SIGKILL), 0);
	wait_for_answer(place);
	while (!place->ended)
		assert_true(loop_turn(place->loop, GUEST_WAIT_MS));
	assert_int_equal(network_process_list(place->process, on_answer, place, NULL), -1);
}

static void a_long_list_of_hosts_gets_there(void **state)
{
	struct place *place = *state;
	const char **hosts = calloc(40001, sizeof(*hosts));
	const struct message_network_resolve resolve = {.servers = (const char *const[]){NULL}, .hosts = hosts};

	assert_non_null(hosts);
	for (size_t i = 0; i < 40000; i++)
		hosts[i] = "0.0.0.0 one.of.many.names.that.are.blocked.example.org";
	begin(place);
	assert_int_equal(network_process_resolve(place->process, &resolve, on_answer, place, NULL), 0);
	wait_for_answer(place);
	assert_false(place->failed);
	free(hosts);
}

/* --- what it may not do --- */

static bool status_says(pid_t pid, const char *name, const char *value)
{
	char path[64];
	auto_free char *text = NULL;
	char line[128];
	size_t size = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	assert_int_equal(file_read(&text, &size, AT_FDCWD, path, 1 << 16), 0);
	snprintf(line, sizeof(line), "\n%s:\t%s\n", name, value);
	return strstr(text, line) != NULL;
}

static void it_is_confined_when_it_serves(void **state)
{
	struct place *place = *state;
	pid_t pid;

	begin(place);
	pid = network_process_pid(place->process);
	assert_true(status_says(pid, "NoNewPrivs", "1"));
	assert_true(!support_probe().seccomp || status_says(pid, "Seccomp", "2"));
	/* CAP_NET_BIND_SERVICE, of root's. */
	assert_true(status_says(pid, "CapEff", geteuid() == 0 ? "0000000000000400" : "0000000000000000"));
	assert_true(status_says(pid, "CapPrm", geteuid() == 0 ? "0000000000000400" : "0000000000000000"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_connection_reaches_a_server_on_the_hosts_loopback, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_host_access_nobody_listens_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(its_memory_has_a_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_the_host_has_open_elsewhere_is_not_reached, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_resolver_knows_the_machine_by_udp_and_tcp, set_up, tear_down),
		cmocka_unit_test_setup_teardown(datagrams_reach_a_server_on_the_hosts_loopback, set_up, tear_down),
		cmocka_unit_test_setup_teardown(connections_go_through_passt, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_thousand_connections_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_machine_that_takes_nothing_blocks_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_ends_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_new_process_goes_on_with_the_same_link, set_up, tear_down),
		cmocka_unit_test_setup_teardown(requests_are_answered_in_order_and_none_is_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_list_of_hosts_gets_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_is_confined_when_it_serves, set_up, tear_down),
	};

	struct rlimit files;

	/* A thousand connections have two thousand ends here. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
