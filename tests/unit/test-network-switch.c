#include "test.h"
#include "folder.h"

#include "base/file.h"
#include "base/time.h"
#include "network/address.h"
#include "network/compose.h"
#include "network/switch.h"

#include <fcntl.h>
#include <net/ethernet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { WAIT_MS = 20000, MANY = 100 };

/* A machine's end. */
struct machine {
	struct network_switch *sw;
	uint32_t place;
	size_t got, bytes;
	uint32_t from; /* of the last frame */
	uint8_t first; /* byte of its payload */
};

static struct loop *loop;

struct frame {
	uint8_t bytes[PACKET_MAX];
	size_t size;
};

/* A datagram of UDP with `size` bytes, the first being `first`. */
static void make_frame(struct frame *ret, bool v6, uint32_t from, uint32_t to, uint8_t first, size_t size)
{
	static uint8_t payload[PACKET_MAX];
	uint8_t source[6], destination[6];
	struct compose_way way = {.to = destination, .from = source};

	place_hardware(source, from);
	place_hardware(destination, to);
	way.source.v6 = way.destination.v6 = v6;
	if (v6) {
		way.source.of.v6_ = place_guest6(from);
		way.destination.of.v6_ = place_guest6(to);
	} else {
		way.source.of.v4 = place_guest(from);
		way.destination.of.v4 = place_guest(to);
	}
	payload[0] = first;
	ret->size = compose_udp(ret->bytes, &way, 1000, 2000, payload, size);
}

static void on_deliver(const struct packet *packet, void *data)
{
	struct machine *machine = data;

	machine->got++;
	machine->bytes += packet->size;
	machine->first = packet->payload_size > 0 ? packet->payload[0] : 0;
	assert_true(place_of_hardware(&machine->from, packet->from));
}

static char *network_folder(const char *network)
{
	char *path = switch_folder(folder, network);

	assert_non_null(path);
	return path;
}

static void join(struct machine *machine, const char *network, uint32_t place, const char *name)
{
	auto_free char *path = network_folder(network);
	auto_error struct annex_error *err = NULL;

	*machine = (struct machine){.place = place};
	if (switch_new(&machine->sw, loop, path, place, name, on_deliver, machine, &err) < 0)
		assert_string_equal(annex_error_message(err), "");
}

static void leave(struct machine *machine)
{
	switch_free(TAKE(machine->sw));
}

static void send_bytes(struct machine *from, const struct frame *frame)
{
	struct packet packet = {0};

	assert_true(packet_parse(&packet, frame->bytes, frame->size));
	switch_send(from->sw, &packet);
}

static void send_to(struct machine *from, uint32_t to, uint8_t first, size_t size)
{
	static struct frame frame;

	make_frame(&frame, false, from->place, to, first, size);
	send_bytes(from, &frame);
}

/* All that is under way arrives. */
static void settle(void)
{
	while (loop_turn(loop, 0))
		;
}

static void two_machines_reach_each_other(void **state)
{
	struct machine web, db;
	static struct frame frame;

	(void)state;
	join(&web, "default", 0x0307, "web");
	join(&db, "default", 0x0401, "db");
	send_to(&web, 0x0401, 'a', 100);
	settle();
	assert_int_equal(db.got, 1);
	assert_int_equal(db.from, 0x0307);
	assert_int_equal(db.first, 'a');
	assert_int_equal(db.bytes, 14 + 20 + 8 + 100);
	make_frame(&frame, true, 0x0401, 0x0307, 'b', 65000);
	send_bytes(&db, &frame);
	settle();
	assert_int_equal(web.got, 1);
	assert_int_equal(web.first, 'b');
	assert_int_equal(web.bytes, frame.size);
	leave(&web);
	leave(&db);
}

static void the_longest_frame_passes(void **state)
{
	enum { PAYLOAD = ADDRESS_MTU - 28 };
	struct machine web, db;

	(void)state;
	join(&web, "default", 0x0307, "web");
	join(&db, "default", 0x0401, "db");
	send_to(&web, 0x0401, 'a', PAYLOAD);
	settle();
	assert_int_equal(db.bytes, ADDRESS_MTU + 14);
	leave(&web);
	leave(&db);
}

static void names_are_those_of_machines_that_are_there(void **state)
{
	auto_text_list struct text_list names = {0};
	struct machine web, db, other;
	uint32_t place = 0;

	(void)state;
	join(&web, "default", 0x0307, "web");
	join(&db, "default", 0x0401, "db");
	join(&other, "lab", 0x0501, "other");
	assert_true(switch_find(&place, web.sw, "db"));
	assert_int_equal(place, 0x0401);
	assert_true(switch_find(&place, web.sw, "web"));
	assert_int_equal(place, 0x0307);
	assert_true(switch_has(web.sw, 0x0401));
	assert_true(switch_has(web.sw, 0x0307));
	assert_false(switch_has(web.sw, 0x0402));
	assert_false(switch_has(web.sw, PLACE_GATEWAY));
	assert_false(switch_find(&place, web.sw, "other"));
	assert_false(switch_find(&place, web.sw, ""));
	assert_false(switch_find(&place, web.sw, "."));
	assert_false(switch_find(&place, web.sw, "4.1"));
	assert_false(switch_find(&place, web.sw, "../lab/other"));
	assert_int_equal(switch_list(&names, web.sw, NULL), 0);
	assert_int_equal(names.count, 2);
	assert_string_equal(names.items[0], "db");
	assert_string_equal(names.items[1], "web");
	leave(&db);
	assert_false(switch_has(web.sw, 0x0401));
	assert_false(switch_find(&place, web.sw, "db"));
	leave(&web);
	leave(&other);
}

static void machines_of_other_networks_are_not_reached(void **state)
{
	struct machine web, other;

	(void)state;
	join(&web, "default", 0x0307, "web");
	join(&other, "lab", 0x0501, "other");
	assert_false(switch_has(web.sw, 0x0501));
	send_to(&web, 0x0501, 'a', 10);
	settle();
	assert_int_equal(other.got, 0);
	leave(&web);
	leave(&other);
}

static void nobody_takes_what_is_for_all_or_of_no_ip(void **state)
{
	static struct frame frame;
	struct machine web, db;

	(void)state;
	join(&web, "default", 0x0307, "web");
	join(&db, "default", 0x0401, "db");
	make_frame(&frame, false, 0x0307, 0x0401, 'a', 10);
	memset(frame.bytes, 0xff, 6);
	send_bytes(&web, &frame);
	memcpy(frame.bytes, "\x01\x00\x5e\x00\x00\xfb", 6);
	send_bytes(&web, &frame);
	make_frame(&frame, false, 0x0307, 0x0401, 'a', 10);
	frame.bytes[12] = ETHERTYPE_ARP >> 8;
	frame.bytes[13] = ETHERTYPE_ARP & 0xff;
	send_bytes(&web, &frame);
	send_to(&web, PLACE_GATEWAY, 'a', 10);
	send_to(&web, 0x0307, 'a', 10);
	settle();
	assert_int_equal(db.got + web.got, 0);
	leave(&web);
	leave(&db);
}

/* Who says something else than it is, though it may send from its own socket. */
static void a_frame_is_from_the_machine_whose_socket_it_comes_from(void **state)
{
	static struct frame good, frame;
	struct packet packet = {0};
	struct {
		size_t at;
		const char *what;
	} const changes[] = {{5, "for another"},       {11, "by another"},        {12, "no IP"},
			     {14, "no version"},       {26, "foreign source"},    {29, "another's source"},
			     {30, "not of a machine"}, {33, "another's address"}, {0, "for a group"}};

	(void)state;
	make_frame(&good, false, 0x0401, 0x0307, 'a', 100);
	assert_true(switch_accepts(&packet, 0x0307, 0x0401, good.bytes, good.size));
	assert_false(switch_accepts(&packet, 0x0307, 0x0402, good.bytes, good.size));
	assert_false(switch_accepts(&packet, 0x0308, 0x0401, good.bytes, good.size));
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		frame = good;
		frame.bytes[changes[i].at] ^= 1;
		if (switch_accepts(&packet, 0x0307, 0x0401, frame.bytes, frame.size))
			assert_string_equal(changes[i].what, "taken");
	}
	for (size_t size = 0; size < 42; size++)
		assert_false(switch_accepts(&packet, 0x0307, 0x0401, good.bytes, size));
	make_frame(&good, true, 0x0401, 0x0307, 'a', 100);
	assert_true(switch_accepts(&packet, 0x0307, 0x0401, good.bytes, good.size));
	good.bytes[14 + 8 + 15] ^= 1;
	assert_false(switch_accepts(&packet, 0x0307, 0x0401, good.bytes, good.size));
	make_frame(&good, true, 0x0401, 0x0307, 136, 100); /* where somebody is, by ICMPv6 */
	good.bytes[14 + 6] = IPPROTO_ICMPV6;
	memmove(good.bytes + 14 + 40, good.bytes + 14 + 40 + 8, 100);
	assert_false(switch_accepts(&packet, 0x0307, 0x0401, good.bytes, good.size));
	good.bytes[14 + 40] = 128;
	assert_true(switch_accepts(&packet, 0x0307, 0x0401, good.bytes, good.size));
	make_frame(&good, false, 0x0307, 0x0307, 'a', 100);
	assert_false(switch_accepts(&packet, 0x0307, 0x0307, good.bytes, good.size));
}

static bool sender(uint32_t *ret, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path);

	memcpy(address.sun_path, path, length);
	return switch_sender(ret, "default", &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

static void a_socket_that_is_no_machines_is_nobodys(void **state)
{
	static const char *const wrong[] = {"",
					    "3.7",
					    "lab/3.7",
					    "another/3.7",
					    "default/",
					    "default/3",
					    "default/3.",
					    "default/.7",
					    "default/03.7",
					    "default/3.7 ",
					    "default/3.7.1",
					    "default/3.256",
					    "default/256.3",
					    "default/0.7",
					    "default/3.0",
					    "default/255.1",
					    "default/3.255",
					    "default/-3.7",
					    "default2/3.7",
					    "/tmp/default/3.7",
					    "default//3.7",
					    "default/../lab/3.7"};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	uint32_t place = 0;

	(void)state;
	assert_true(sender(&place, "default/3.7"));
	assert_int_equal(place, 0x0307);
	assert_true(sender(&place, "default/254.254"));
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (sender(&place, wrong[i]))
			assert_string_equal(wrong[i], "a machine's");
	}
	/* Abstract, and unbound. */
	memcpy(address.sun_path, "\0default/3.7", 12);
	assert_false(switch_sender(&place, "default", &address, offsetof(struct sockaddr_un, sun_path) + 12));
	assert_false(switch_sender(&place, "default", &address, 0));
	assert_false(switch_sender(&place, "default", &address, 2));
}

static void send_from(const char *bound, const void *bytes, size_t size)
{
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX}, to = {AF_UNIX, "default/3.7"};

	assert_true(fd >= 0);
	if (bound) {
		strcpy(address.sun_path, bound);
		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(unlink(bound), 0);
	}
	assert_int_equal(sendto(fd, bytes, size, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)size);
}

static void strangers_are_not_heard(void **state)
{
	static struct frame frame;
	struct machine web, other;
	static uint8_t garbage[100000];

	(void)state;
	join(&other, "another", 0x0401, "other");
	join(&web, "default", 0x0307, "web");
	make_frame(&frame, false, 0x0401, 0x0307, 'a', 100);
	send_from(NULL, frame.bytes, frame.size);
	send_from("4.1", frame.bytes, frame.size);
	send_from("another/4.2", frame.bytes, frame.size);
	send_from("default/4.2", frame.bytes, frame.size);
	send_from("default/4.1", garbage, sizeof(garbage));
	send_from("default/4.1", garbage, 0);
	send_from("default/4.1", frame.bytes, 41);
	settle();
	assert_int_equal(web.got, 0);
	send_from("default/4.1", frame.bytes, frame.size);
	settle();
	assert_int_equal(web.got, 1);
	leave(&web);
	leave(&other);
}

/* A process that joins as "db", tells so, and lives until it is killed. */
static pid_t start_db(void)
{
	int ready[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct loop *own = NULL;
		struct machine db = {0};
		auto_free char *path = switch_folder(folder, "default");

		if (loop_new(&own) < 0 || switch_new(&db.sw, own, path, 0x0401, "db", on_deliver, &db, NULL) < 0 ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void a_machine_that_was_killed_is_gone_and_comes_back(void **state)
{
	struct machine web, db;
	uint32_t place = 0;
	pid_t pid;

	(void)state;
	join(&web, "default", 0x0307, "web");
	pid = start_db();
	assert_true(switch_find(&place, web.sw, "db"));
	send_to(&web, 0x0401, 'a', 10);
	settle();
	end(pid);
	assert_false(switch_has(web.sw, 0x0401));
	assert_false(switch_find(&place, web.sw, "db"));
	send_to(&web, 0x0401, 'b', 10);
	settle();
	join(&db, "default", 0x0401, "db");
	assert_true(switch_find(&place, web.sw, "db"));
	send_to(&web, 0x0401, 'c', 10);
	send_to(&db, 0x0307, 'd', 10);
	settle();
	assert_int_equal(db.got, 1);
	assert_int_equal(db.first, 'c');
	assert_int_equal(web.first, 'd');
	leave(&web);
	leave(&db);
}

static void a_socket_that_is_connected_finds_the_new_one(void **state)
{
	struct machine web, db;
	pid_t pid;

	(void)state;
	join(&web, "default", 0x0307, "web");
	pid = start_db();
	send_to(&web, 0x0401, 'a', 10);
	end(pid);
	join(&db, "default", 0x0401, "db");
	send_to(&web, 0x0401, 'b', 10);
	settle();
	assert_int_equal(db.first, 'b');
	leave(&web);
	leave(&db);
}

static void who_does_not_read_loses_frames_and_holds_nobody_up(void **state)
{
	enum { FRAMES = 300, SIZE = 60000 };
	struct machine web, db, slow;

	(void)state;
	join(&web, "default", 0x0307, "web");
	join(&db, "default", 0x0401, "db");
	join(&slow, "default", 0x0402, "slow");
	switch_hold(slow.sw, true);
	for (int i = 0; i < FRAMES; i++) {
		send_to(&web, 0x0402, 's', SIZE);
		send_to(&web, 0x0401, 'd', SIZE);
		settle();
	}
	assert_int_equal(db.got, FRAMES);
	assert_int_equal(slow.got, 0);
	switch_hold(slow.sw, false);
	for (uint64_t end = time_monotonic_ms() + WAIT_MS; time_monotonic_ms() < end && slow.got < 30;)
		loop_turn(loop, 100);
	settle();
	/* What waited here and there has come, and no more. */
	assert_true(slow.got >= SWITCH_QUEUE_MAX / (SIZE + 42));
	assert_true(slow.got < FRAMES / 2);
	send_to(&web, 0x0402, 'x', 10);
	settle();
	assert_int_equal(slow.first, 'x');
	leave(&web);
	leave(&db);
	leave(&slow);
}

static void what_waits_for_a_machine_that_is_killed_is_dropped(void **state)
{
	struct machine web;
	pid_t pid;

	(void)state;
	join(&web, "default", 0x0307, "web");
	pid = start_db();
	for (int i = 0; i < 40; i++)
		send_to(&web, 0x0401, 's', 60000);
	settle();
	end(pid);
	/* It is told at once, and the loop comes to rest. */
	for (uint64_t end = time_monotonic_ms() + WAIT_MS; time_monotonic_ms() < end && loop_turn(loop, 0);)
		;
	assert_false(loop_turn(loop, 0));
	send_to(&web, 0x0401, 's', 10);
	leave(&web);
}

static void nothing_is_lost_while_everybody_reads(void **state)
{
	enum { FRAMES = 2000 };
	struct machine web, db;

	(void)state;
	join(&web, "default", 0x0307, "web");
	join(&db, "default", 0x0401, "db");
	for (int i = 0; i < FRAMES; i++) {
		send_to(&web, 0x0401, 'a', 1400);
		send_to(&db, 0x0307, 'b', 60);
		if (i % 25 == 0)
			settle();
	}
	settle();
	assert_int_equal(db.got, FRAMES);
	assert_int_equal(web.got, FRAMES);
	leave(&web);
	leave(&db);
}

/* More than there are sockets to send by. */
static void a_hundred_machines_reach_each_other(void **state)
{
	static struct machine machines[MANY];
	auto_text_list struct text_list names = {0};
	struct rlimit files;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	if (files.rlim_max < MANY * (SWITCH_PEERS_MAX + 4) + 64)
		skip();
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		char name[16];

		snprintf(name, sizeof(name), "m-%u", (unsigned)i);
		join(&machines[i], "default", 0x0301 + i, name);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		for (uint32_t k = 0; k < MANY; k++) {
			send_to(&machines[i], 0x0301 + k, 'a', 100);
			if (k % 10 == 0)
				settle();
		}
		settle();
	}
	for (uint32_t i = 0; i < MANY; i++)
		assert_int_equal(machines[i].got, MANY - 1);
	assert_int_equal(switch_list(&names, machines[0].sw, NULL), 0);
	assert_int_equal(names.count, MANY);
	for (uint32_t i = 0; i < MANY; i++)
		leave(&machines[i]);
}

static void a_place_is_taken_only_from_who_is_gone(void **state)
{
	auto_free char *path = network_folder("default");
	auto_error struct annex_error *err = NULL;
	struct network_switch *sw = NULL;
	struct machine old, new, web;
	uint32_t place = 0;

	(void)state;
	join(&web, "default", 0x0307, "web");
	join(&old, "default", 0x0401, "old");
	assert_int_equal(switch_new(&sw, loop, path, 0x0401, "new", on_deliver, NULL, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_BUSY);
	assert_string_equal(annex_error_message(err),
			    "cannot join network 'default': machine 'old' has the address 127.88.4.1, too");
	switch_forget(path, "new", 0x0401); /* does no harm */
	assert_true(switch_find(&place, web.sw, "old"));
	leave(&old);
	join(&new, "default", 0x0401, "new");
	assert_true(switch_find(&place, web.sw, "new"));
	assert_false(switch_find(&place, web.sw, "old"));
	leave(&web);
	leave(&new);
}

static void what_a_machine_leaves_is_forgotten(void **state)
{
	auto_free char *path = network_folder("default");
	char socket_path[128], link_path[128];
	struct machine web;
	struct stat st;

	(void)state;
	snprintf(socket_path, sizeof(socket_path), "%s/3.7", path);
	snprintf(link_path, sizeof(link_path), "%s/web", path);
	join(&web, "default", 0x0307, "web");
	assert_int_equal(stat(socket_path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	leave(&web);
	switch_forget(path, "web", 0x0307);
	assert_int_equal(lstat(socket_path, &st), -1);
	assert_int_equal(lstat(link_path, &st), -1);
	switch_forget(path, "web", 0x0307);
	switch_forget("/nonexistent/x", "web", 0x0307);
}

static void a_long_path_is_no_obstacle(void **state)
{
	auto_free char *path = NULL;
	struct network_switch *sw = NULL;
	char name[81];
	struct stat st;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_true(asprintf(&path, "%s/%s/%s/networks/default", folder, name, name) > 0);
	assert_int_equal(switch_new(&sw, loop, path, 0x0307, "web", on_deliver, NULL, NULL), 0);
	switch_forget(path, "web", 0x0307); /* it is there */
	assert_int_equal(stat("default/3.7", &st), 0);
	switch_free(sw);
	switch_forget(path, "web", 0x0307);
	assert_int_equal(stat("default/3.7", &st), -1);
}

static int set_up(void **state)
{
	return folder_set_up(state) < 0 || loop_new(&loop) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	loop_free(TAKE(loop));
	return chdir("/") < 0 ? -1 : folder_tear_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_machines_reach_each_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_longest_frame_passes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_are_those_of_machines_that_are_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(machines_of_other_networks_are_not_reached, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_takes_what_is_for_all_or_of_no_ip, set_up, tear_down),
		cmocka_unit_test(a_frame_is_from_the_machine_whose_socket_it_comes_from),
		cmocka_unit_test(a_socket_that_is_no_machines_is_nobodys),
		cmocka_unit_test_setup_teardown(strangers_are_not_heard, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_machine_that_was_killed_is_gone_and_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_socket_that_is_connected_finds_the_new_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_does_not_read_loses_frames_and_holds_nobody_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_waits_for_a_machine_that_is_killed_is_dropped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_lost_while_everybody_reads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_hundred_machines_reach_each_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_place_is_taken_only_from_who_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_a_machine_leaves_is_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_path_is_no_obstacle, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
