#include "frontend.h"
#include "test.h"

#include "base/time.h"
#include "share/device.h"
#include "share/vhost.h"
#include "share/workers.h"

#include <dirent.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

static void what_is_offered_is_told(void **state)
{
	struct machine machine;
	uint32_t wanted[3 + 10] = {0, 40, 0};
	struct {
		uint32_t offset, size, flags;
		struct virtio_fs_config config;
	} got;

	(void)state;
	connect_device(&machine, 1, TAG);
	negotiate(&machine);
	assert_int_equal(ask(&machine, VHOST_GET_FEATURES),
			 BIT(VIRTIO_F_VERSION_1) | BIT(28) | BIT(29) | BIT(VHOST_F_PROTOCOL_FEATURES));
	assert_int_equal(ask(&machine, VHOST_GET_PROTOCOL_FEATURES), BIT(0) | BIT(3) | BIT(9) | BIT(15));
	assert_int_equal(ask(&machine, VHOST_GET_QUEUE_NUM), LANES);
	assert_int_equal(ask(&machine, VHOST_GET_MAX_MEM_SLOTS), MEMORY_REGION_LIMIT);
	tell(&machine, VHOST_GET_CONFIG, 0, wanted, sizeof(wanted), NULL, 0);
	assert_int_equal(hear(&machine, VHOST_GET_CONFIG, &got, sizeof(got)), 12 + 40);
	assert_string_equal((char *)got.config.tag, TAG);
	assert_int_equal(got.config.num_request_queues, LANES - 1);
	wanted[0] = 1; /* one byte behind its end */
	tell(&machine, VHOST_GET_CONFIG, 0, wanted, sizeof(wanted), NULL, 0);
	assert_int_equal(hear(&machine, VHOST_GET_CONFIG, &got, sizeof(got)), 0);
	assert_int_equal(stop(&machine), 0);
}

static void without_a_tag_there_is_no_configuration_to_ask_for(void **state)
{
	struct machine machine;
	const uint64_t configuration = BIT(VHOST_PROTOCOL_CONFIG);

	(void)state;
	connect_device(&machine, 1, NULL);
	negotiate(&machine);
	assert_int_equal(ask(&machine, VHOST_GET_PROTOCOL_FEATURES), BIT(0) | BIT(3) | BIT(15));
	assert_false(order(&machine, VHOST_SET_PROTOCOL_FEATURES, &configuration, 8, NULL, 0));
	assert_int_equal(stop(&machine), 0);
}

static void requests_are_answered_on_every_queue(void **state)
{
	struct machine machine;

	(void)state;
	start(&machine, 2);
	for (unsigned i = 0; i < LANES; i++) {
		offer(&machine, &machine.lanes[i], i, "echo");
		assert_answer(&machine, &machine.lanes[i], "fdip");
		offer(&machine, &machine.lanes[i], i, "forget"); /* no answer, but given back */
		assert_answer(&machine, &machine.lanes[i], "");
	}
	assert_int_equal(stop(&machine), 0);
}

#define ROUNDS 5000 /* requests on a queue */

struct load {
	struct machine *machine;
	struct lane *lane;
	unsigned rounds;
};

/* Keeps as many requests under way as there are slots. */
static void *put_load_on(void *data)
{
	const struct load *load = data;
	bool busy[SLOTS] = {false};
	unsigned under_way = 0;
	unsigned sent = 0, done = 0;

	while (done < load->rounds) {
		uint32_t size = 0;
		unsigned slot;
		char text[32];

		for (slot = 0; slot < SLOTS && sent < load->rounds && under_way < 1 + sent % SLOTS; slot++) {
			if (busy[slot])
				continue;
			snprintf(text, sizeof(text), "e%u", sent++);
			offer(load->machine, load->lane, slot, text);
			busy[slot] = true;
			under_way++;
		}
		slot = collect(load->lane, &size);
		assert_true(slot < SLOTS && busy[slot]);
		for (unsigned i = 0; i < size; i++)
			assert_int_equal(load->machine->memory[slot_buffer(load->lane, slot) + 128 + i],
					 load->machine->memory[slot_buffer(load->lane, slot) + i] + 1);
		busy[slot] = false;
		under_way--;
		done++;
	}
	return NULL;
}

static void change_memory(struct machine *machine)
{
	assert_true(change_region(machine, VHOST_REM_MEM_REG, spare_region));
	assert_true(change_region(machine, VHOST_ADD_MEM_REG, spare_region));
	/* The region with the rings themselves: what is under way waits. */
	assert_true(change_region(machine, VHOST_REM_MEM_REG, main_region));
	assert_true(change_region(machine, VHOST_ADD_MEM_REG, main_region));
	assert_true(set_table(machine));
}

static void memory_changes_and_queues_restart_under_load(void **state)
{
	struct machine machine;
	struct load loads[LANES];
	pthread_t threads[LANES];

	(void)state;
	start(&machine, 3);
	for (unsigned i = 0; i < LANES; i++) {
		loads[i] = (struct load){&machine, &machine.lanes[i], ROUNDS};
		assert_int_equal(pthread_create(&threads[i], NULL, put_load_on, &loads[i]), 0);
	}
	for (unsigned i = 0; i < 100; i++) {
		uint32_t base[2] = {i % LANES, 0}, queue = i % LANES;

		change_memory(&machine);
		assert_true(order_state(&machine, VHOST_SET_VRING_ENABLE, queue, 0));
		assert_true(order_state(&machine, VHOST_SET_VRING_ENABLE, queue, 1));
		tell(&machine, VHOST_GET_VRING_BASE, 0, base, sizeof(base), NULL, 0);
		assert_int_equal(hear(&machine, VHOST_GET_VRING_BASE, base, sizeof(base)), sizeof(base));
		start_lane(&machine, queue, (uint16_t)base[1]);
	}
	for (unsigned i = 0; i < LANES; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(__atomic_load_n(&machine.served, __ATOMIC_RELAXED), LANES * ROUNDS);
	assert_int_equal(stop(&machine), 0);
}

static void a_slow_request_holds_up_no_other_one(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[1];

	(void)state;
	start(&machine, 4);
	/* Three wait at once, on one queue; the fourth passes them. */
	offer(&machine, lane, 0, "w0");
	wait_until_waiting(&machine, 1);
	offer(&machine, lane, 1, "w1");
	offer(&machine, lane, 2, "w2");
	wait_until_waiting(&machine, 3);
	offer(&machine, lane, 3, "echo");
	assert_answer(&machine, lane, "fdip");
	assert_true(nothing_comes(lane));
	release(&machine);
	for (unsigned i = 0; i < 3; i++) {
		uint32_t size = 0;

		assert_in_range(collect(lane, &size), 0, 2);
		assert_int_equal(size, 2);
	}
	assert_int_equal(stop(&machine), 0);
}

static void one_event_for_many_requests_wakes_as_many_workers(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[1];

	(void)state;
	start(&machine, 3);
	assert_true(order_state(&machine, VHOST_SET_VRING_ENABLE, 1, 0));
	offer(&machine, lane, 0, "w0");
	offer(&machine, lane, 1, "w1");
	offer(&machine, lane, 2, "echo");
	assert_true(nothing_comes(lane));
	assert_true(order_state(&machine, VHOST_SET_VRING_ENABLE, 1, 1));
	assert_answer(&machine, lane, "fdip");
	wait_until_waiting(&machine, 2);
	release(&machine);
	assert_int_equal(stop(&machine), 0);
}

static void what_has_to_wait_for_others_holds_no_worker(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[1];
	unsigned tried;

	(void)state;
	start(&machine, 1);
	__atomic_store_n(&machine.held, 1, __ATOMIC_RELEASE);
	offer(&machine, lane, 0, "p0");
	offer(&machine, lane, 1, "p1");
	assert_true(nothing_comes(lane));
	offer(&machine, lane, 2, "echo");
	assert_answer(&machine, lane, "fdip");
	tried = __atomic_load_n(&machine.served, __ATOMIC_RELAXED);
	assert_in_range(tried, 5, 30); /* again and again, but seldom */
	__atomic_store_n(&machine.held, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 2; i++) {
		uint32_t size = 0;
		unsigned slot = collect(lane, &size);

		assert_int_equal(size, 2);
		assert_memory_equal(machine.memory + slot_buffer(lane, slot) + 128, slot == 0 ? "q1" : "q2", 2);
	}
	assert_int_equal(stop(&machine), 0);
}

static void stop_lane(const struct machine *machine, uint32_t queue)
{
	uint32_t base[2] = {queue, 0};

	tell(machine, VHOST_GET_VRING_BASE, 0, base, sizeof(base), NULL, 0);
	assert_int_equal(hear(machine, VHOST_GET_VRING_BASE, base, sizeof(base)), sizeof(base));
}

/* A request waits for others; then its queue is stopped. */
static void stop_with_one_that_waits(struct machine *machine, struct lane *lane)
{
	start(machine, 2);
	__atomic_store_n(&machine->held, 1, __ATOMIC_RELEASE);
	offer(machine, lane, 0, "p");
	offer(machine, lane, 1, "echo");
	assert_answer(machine, lane, "fdip");
	stop_lane(machine, 1);
	__atomic_store_n(&machine->held, 0, __ATOMIC_RELEASE);
	assert_true(nothing_comes(lane));
}

static void what_waits_goes_on_waiting_in_a_machine_that_was_stopped(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[1];

	(void)state;
	stop_with_one_that_waits(&machine, lane);
	start_lane(&machine, 1, 2);
	assert_answer(&machine, lane, "q");
	offer(&machine, lane, 0, "echo");
	assert_answer(&machine, lane, "fdip");
	__atomic_store_n(&machine.held, 1, __ATOMIC_RELEASE);
	offer(&machine, lane, 1, "p");
	assert_true(nothing_comes(lane));
	assert_int_equal(stop(&machine), 0); /* with one that waits */
}

static void what_waits_is_forgotten_when_the_driver_begins_anew(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[1];

	(void)state;
	/* From the index 2 too, where the queue was before. */
	for (uint16_t base = 0; base <= 2; base += 2) {
		stop_with_one_that_waits(&machine, lane);
		driver_open(&lane->driver, machine.memory, 2 * 65536, RING, true);
		lane->driver.offered = lane->driver.collected = base;
		lane->driver.vring.avail->idx = lane->driver.vring.used->idx = base;
		start_lane(&machine, 1, base);
		assert_true(nothing_comes(lane));
		offer(&machine, lane, 3, "echo");
		assert_answer(&machine, lane, "fdip");
		assert_true(nothing_comes(lane));
		assert_int_equal(stop(&machine), 0);
	}
}

static double processor_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void who_has_nothing_to_do_uses_no_processor(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[1];
	double before;

	(void)state;
	start(&machine, 2);
	__atomic_store_n(&machine.held, 1, __ATOMIC_RELEASE);
	offer(&machine, lane, 0, "p");
	assert_true(nothing_comes(lane));
	/* With a request whose time has come, but whose queue may not be served; with another queue that may. */
	assert_true(order_state(&machine, VHOST_SET_VRING_ENABLE, 1, 0));
	offer(&machine, &machine.lanes[2], 0, "echo");
	assert_answer(&machine, &machine.lanes[2], "fdip");
	before = processor_seconds();
	for (unsigned i = 0; i < 3; i++)
		assert_true(nothing_comes(lane));
	assert_true(processor_seconds() - before < 0.1);
	__atomic_store_n(&machine.held, 0, __ATOMIC_RELEASE);
	assert_true(order_state(&machine, VHOST_SET_VRING_ENABLE, 1, 1));
	assert_answer(&machine, lane, "q");
	assert_int_equal(stop(&machine), 0);
}

/* As a guest does that asks and waits, in turn. How often, until a request was found without a kick. */
static unsigned rounds_until_found(struct machine *machine, struct lane *lane, uint64_t limit_ms)
{
	uint64_t end = time_monotonic_ms() + limit_ms;

	for (unsigned round = 1; time_monotonic_ms() < end; round++) {
		unsigned kicks = lane->kicks;
		uint32_t head, size;

		offer(machine, lane, 0, "echo");
		while (!driver_collect(&lane->driver, &head, &size))
			sched_yield();
		if (lane->kicks == kicks)
			return round;
	}
	return 0;
}

static void what_comes_again_at_once_is_found_without_a_kick(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[1];
	double before;

	(void)state;
	start(&machine, 2);
	assert_true(nothing_comes(lane));
	assert_in_range(rounds_until_found(&machine, lane, PATIENCE), 2,
			UINT32_MAX); /* the first one is never expected */
	/* Nor is one after a while. */
	assert_true(nothing_comes(lane));
	lane->kicks = 0;
	offer(&machine, lane, 0, "echo");
	assert_answer(&machine, lane, "fdip");
	assert_int_equal(lane->kicks, 1);
	before = processor_seconds();
	assert_true(nothing_comes(lane));
	assert_true(processor_seconds() - before < 0.05);
	assert_int_equal(stop(&machine), 0);
}

static void a_queue_stops_while_its_next_request_is_awaited(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[1];

	(void)state;
	start(&machine, 2);
	for (unsigned i = 0; i < 20; i++) {
		uint32_t base[2] = {1, 0};

		(void)rounds_until_found(&machine, lane, 5);
		tell(&machine, VHOST_GET_VRING_BASE, 0, base, sizeof(base), NULL, 0);
		assert_int_equal(hear(&machine, VHOST_GET_VRING_BASE, base, sizeof(base)), sizeof(base));
		start_lane(&machine, 1, (uint16_t)base[1]);
	}
	offer(&machine, lane, 0, "echo");
	assert_answer(&machine, lane, "fdip");
	assert_int_equal(stop(&machine), 0);
}

static void what_has_no_answer_is_gathered(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[0];
	unsigned offered = 0, gathered = 0;

	(void)state;
	start(&machine, 2);
	/* However slow this program is at times: once, some of them come while none is asked for. */
	while (gathered == 0 && offered < 10000) {
		lane->kicks = 0;
		for (unsigned slot = 0; slot < SLOTS; slot++)
			offer(&machine, lane, slot, "forget");
		for (unsigned slot = 0; slot < SLOTS; slot++)
			assert_answer(&machine, lane, "");
		offered += SLOTS;
		gathered = SLOTS - lane->kicks;
	}
	assert_true(gathered > 0);
	assert_int_equal(__atomic_load_n(&machine.served, __ATOMIC_RELAXED), offered);
	/* All were given back; the next one after a pause is asked for. */
	assert_true(nothing_comes(lane));
	lane->kicks = 0;
	offer(&machine, lane, 0, "forget");
	assert_int_equal(lane->kicks, 1);
	assert_answer(&machine, lane, "");
	assert_int_equal(stop(&machine), 0);
}

struct stopping {
	struct machine *machine;
	uint32_t base[2];
	unsigned done;
};

static void *stop_queue(void *data)
{
	struct stopping *stopping = data;

	tell(stopping->machine, VHOST_GET_VRING_BASE, 0, stopping->base, 8, NULL, 0);
	assert_int_equal(hear(stopping->machine, VHOST_GET_VRING_BASE, stopping->base, 8), 8);
	__atomic_store_n(&stopping->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void a_queue_stops_after_what_is_under_way_and_goes_on_there(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[2];
	struct stopping stopping = {&machine, {2, 0}, 0};
	pthread_t thread;

	(void)state;
	start(&machine, 2);
	offer(&machine, lane, 0, "echo");
	assert_answer(&machine, lane, "fdip");
	offer(&machine, lane, 1, "wait");
	wait_until_waiting(&machine, 1);
	assert_int_equal(pthread_create(&thread, NULL, stop_queue, &stopping), 0);
	usleep(50000);
	assert_int_equal(__atomic_load_n(&stopping.done, __ATOMIC_ACQUIRE), 0);
	release(&machine);
	pthread_join(thread, NULL);
	assert_int_equal(stopping.base[0], 2);
	assert_int_equal(stopping.base[1], 2);
	assert_answer(&machine, lane, "xbju");
	offer(&machine, lane, 3, "echo");
	assert_true(nothing_comes(lane));
	start_lane(&machine, 2, 2);
	assert_answer(&machine, lane, "fdip");
	assert_int_equal(stop(&machine), 0);
}

static void a_disabled_queue_waits(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[1];

	(void)state;
	start(&machine, 2);
	assert_true(order_state(&machine, VHOST_SET_VRING_ENABLE, 1, 0));
	offer(&machine, lane, 0, "echo");
	assert_true(nothing_comes(lane));
	assert_true(order_state(&machine, VHOST_SET_VRING_ENABLE, 1, 1));
	assert_answer(&machine, lane, "fdip");
	assert_int_equal(stop(&machine), 0);
}

static void an_answer_waits_for_the_memory_of_its_ring(void **state)
{
	struct machine machine;
	struct lane *lane = &machine.lanes[1];

	(void)state;
	start(&machine, 2);
	offer(&machine, lane, 0, "wait");
	wait_until_waiting(&machine, 1);
	assert_true(change_region(&machine, VHOST_REM_MEM_REG, main_region));
	release(&machine);
	assert_true(nothing_comes(lane));
	assert_true(change_region(&machine, VHOST_ADD_MEM_REG, main_region));
	assert_answer(&machine, lane, "xbju");
	/* Never back: the end of the connection does not wait for it. */
	hold_back(&machine);
	offer(&machine, lane, 0, "wait");
	wait_until_waiting(&machine, 1);
	assert_true(change_region(&machine, VHOST_REM_MEM_REG, main_region));
	release(&machine);
	assert_int_equal(stop(&machine), 0);
}

/* The guest sends a chain that loops, or something that is no request. */
static void break_lane(const struct machine *machine, struct lane *lane, bool ring)
{
	const uint64_t one = 1;

	if (!ring) {
		offer(machine, lane, 0, "x");
		return;
	}
	driver_describe(&lane->driver, 0, lane->buffers, 1, VRING_DESC_F_NEXT, 0);
	driver_offer(&lane->driver, 0);
	assert_int_equal(write(lane->kick, &one, sizeof(one)), sizeof(one));
}

static void what_the_guest_breaks_stands_still_until_reset(void **state)
{
	(void)state;
	for (unsigned ring = 0; ring < 2; ring++) {
		struct machine machine;

		start(&machine, 2);
		break_lane(&machine, &machine.lanes[1], ring);
		for (unsigned i = 0; i < LANES; i++)
			assert_true(is_readable(machine.lanes[i].error, PATIENCE));
		offer(&machine, &machine.lanes[2], 0, "echo");
		assert_true(nothing_comes(&machine.lanes[2]));
		assert_true(nothing_comes(&machine.lanes[1]));
		/* The guest boots anew. */
		for (uint32_t i = 0; i < LANES; i++) {
			stop_lane(&machine, i);
			driver_open(&machine.lanes[i].driver, machine.memory, 65536 * (i + 1), RING, true);
			start_lane(&machine, i, 0);
			offer(&machine, &machine.lanes[i], 0, "echo");
			assert_answer(&machine, &machine.lanes[i], "fdip");
		}
		assert_int_equal(stop(&machine), 0);
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Mostly possible values, or none would get far. */
static void write_noise(const struct machine *machine, struct lane *lane, uint32_t *seed)
{
	static const uint16_t flags[] = {0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 0xffff};

	for (unsigned i = 0; i < RING; i++) {
		uint64_t address = next_random(seed) % (SIZE + 65536);
		uint32_t size = next_random(seed) % (next_random(seed) % 8 ? 256 : 1u << 24);

		driver_describe(&lane->driver, i, next_random(seed) % 64 ? address : ~address, size,
				flags[next_random(seed) % COUNT_OF(flags)], (uint16_t)(next_random(seed) % (RING + 1)));
		memcpy(machine->memory + address % SPARE / 64 * 64, &lane->driver.vring.desc[i],
		       sizeof(struct vring_desc));
	}
	for (unsigned i = next_random(seed) % (RING + 2); i > 0; i--)
		driver_offer(&lane->driver, (uint16_t)(next_random(seed) % (RING + (next_random(seed) % 16 == 0))));
}

static void noise_from_the_guest_does_no_harm(void **state)
{
	const uint64_t one = 1;
	struct machine machine;
	uint32_t seed = 1;

	(void)state;
	start(&machine, 3);
	release(&machine); /* noise may say that it wants to wait */
	for (unsigned round = 0; round < 200; round++) {
		for (uint32_t i = 0; i < LANES; i++) {
			write_noise(&machine, &machine.lanes[i], &seed);
			assert_int_equal(write(machine.lanes[i].kick, &one, sizeof(one)), sizeof(one));
		}
		for (uint32_t i = 0; i < LANES; i++)
			stop_lane(&machine, i);
		for (uint32_t i = 0; i < LANES; i++) {
			driver_open(&machine.lanes[i].driver, machine.memory, 65536 * (i + 1), RING, true);
			start_lane(&machine, i, 0);
		}
	}
	for (unsigned i = 0; i < LANES; i++) {
		offer(&machine, &machine.lanes[i], 0, "echo");
		assert_answer(&machine, &machine.lanes[i], "fdip");
	}
	assert_int_equal(stop(&machine), 0);
}

static void what_cannot_be_is_refused_when_the_front_end_wants_to_hear_it(void **state)
{
	const uint64_t features = ~UINT64_C(0), far[] = {SIZE, MIB, USER + SIZE, SIZE}; /* the file is shorter */
	struct machine machine;

	(void)state;
	start(&machine, 2);
	assert_false(order(&machine, VHOST_SET_FEATURES, &features, 8, NULL, 0));
	assert_false(order(&machine, VHOST_SET_PROTOCOL_FEATURES, &features, 8, NULL, 0));
	assert_false(change_region(&machine, VHOST_ADD_MEM_REG, far));
	assert_false(change_region(&machine, VHOST_ADD_MEM_REG, main_region));
	assert_false(change_region(&machine, VHOST_REM_MEM_REG, far));
	assert_false(order_state(&machine, VHOST_SET_VRING_NUM, LANES, RING));
	assert_false(order_state(&machine, VHOST_SET_VRING_NUM, 0, RING)); /* in use */
	assert_false(order_state(&machine, VHOST_SET_VRING_BASE, 0, 0));
	assert_false(order_state(&machine, VHOST_SET_VRING_ENABLE, 0, 2));
	assert_false(order_file(&machine, VHOST_SET_VRING_KICK, 0x100, -1)); /* polling */
	assert_false(order_file(&machine, VHOST_SET_VRING_KICK, 0, machine.memory_fd));
	assert_false(order(&machine, VHOST_SET_CONFIG, (uint32_t[]){0, 4, 0, 1}, 16, NULL, 0));
	offer(&machine, &machine.lanes[0], 0, "echo"); /* and nothing has changed */
	assert_answer(&machine, &machine.lanes[0], "fdip");
	assert_int_equal(stop(&machine), 0);
}

static void a_queue_outside_of_memory_does_not_start(void **state)
{
	struct machine machine;

	(void)state;
	connect_device(&machine, 1, TAG);
	negotiate(&machine);
	assert_false(order_file(&machine, VHOST_SET_VRING_KICK, 0, machine.lanes[0].kick));
	assert_true(set_table(&machine));
	assert_false(order_file(&machine, VHOST_SET_VRING_KICK, 0, machine.lanes[0].kick));
	start_lane(&machine, 0, 0);
	assert_int_equal(stop(&machine), 0);
}

static unsigned count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

/* Bytes, with so many descriptors, end the connection with an error that has these words, and leave no descriptor
 * behind. */
static void assert_ends(const char *words, const void *bytes, size_t size, unsigned fd_count)
{
	unsigned before = count_descriptors();
	struct machine machine;
	int fds[16];

	start(&machine, 2);
	for (unsigned i = 0; i < COUNT_OF(fds); i++)
		fds[i] = machine.memory_fd;
	send_with(&machine, bytes, size, fds, fd_count);
	shutdown(machine.socket, SHUT_WR);
	pthread_join(machine.thread, NULL);
	machine.joined = true;
	assert_int_equal(machine.result, -1);
	if (!strstr(annex_error_message(machine.err), words))
		print_error("%s instead of %s\n", annex_error_message(machine.err), words);
	assert_non_null(strstr(annex_error_message(machine.err), words));
	stop(&machine);
	assert_int_equal(count_descriptors(), before);
}

static void garbage_ends_the_connection(void **state)
{
	static const struct {
		const char *words;
		struct wire wire;
		size_t size;
		unsigned fds;
	} rows[] = {
		{"request 0 is not known", {0, 1, 0, {0}}, 12, 0},
		{"request 6 is not known", {6, 1, 8, {0}}, 20, 1},
		{"request 39 is not known", {39, 1, 0, {0}}, 12, 0},
		{"is not known", {UINT32_MAX, 1, 0, {0}}, 12, 0},
		{"has flags", {VHOST_GET_FEATURES, 2, 0, {0}}, 12, 0},
		{"has flags", {VHOST_GET_FEATURES, 1 | 4, 0, {0}}, 12, 0}, /* a reply */
		{"has flags", {VHOST_GET_FEATURES, 1 | 16, 0, {0}}, 12, 0},
		{"GET_FEATURES has 8 bytes", {VHOST_GET_FEATURES, 1, 8, {0}}, 20, 0},
		{"wrong number of descriptors", {VHOST_GET_FEATURES, 1, 0, {0}}, 12, 1},
		{"ended in a message", {VHOST_GET_FEATURES, 1, 0, {0}}, 5, 0},
		{"ended in a message", {VHOST_SET_FEATURES, 1, 8, {0}}, 13, 0},
		{"ended in a message", {VHOST_SET_FEATURES, 1, 8, {0}}, 12, 0},
		{"SET_FEATURES has 4294967295 bytes", {VHOST_SET_FEATURES, 1, UINT32_MAX, {0}}, 12, 0},
		{"not offered", {VHOST_SET_FEATURES, 1, 8, {1}}, 20, 0}, /* nobody wants to hear of it */
		{"count that is not its size's", {VHOST_SET_MEM_TABLE, 1, 8, {9}}, 20, 8},
		{"count that is not its size's", {VHOST_SET_MEM_TABLE, 1, 8 + 32, {2}}, 12 + 40, 2},
		{"wrong number of descriptors", {VHOST_SET_MEM_TABLE, 1, 8 + 32, {1}}, 12 + 40, 0},
		{"wrong number of descriptors", {VHOST_SET_MEM_TABLE, 1, 8 + 32, {1}}, 12 + 40, 2},
		{"a region of 0 bytes", {VHOST_SET_MEM_TABLE, 1, 8 + 32, {1}}, 12 + 40, 1},
		{"more than 8 descriptors", {VHOST_SET_MEM_TABLE, 1, 8 + 8 * 32, {8}}, 12 + 8 + 8 * 32, 9},
		{"more than 8 descriptors", {VHOST_SET_MEM_TABLE, 1, 8 + 8 * 32, {8}}, 12 + 8 + 8 * 32, 16},
		{"wrong number of descriptors", {VHOST_ADD_MEM_REG, 1, 40, {0}}, 12 + 40, 2},
		{"wrong number of descriptors", {VHOST_ADD_MEM_REG, 1, 40, {0}}, 12 + 40, 0},
		{"no region at 0 to remove", {VHOST_REM_MEM_REG, 1, 40, {0}}, 12 + 40, 1}, /* allowed, and closed */
		{"queue 4 of 4", {VHOST_GET_VRING_BASE, 1, 8, {LANES}}, 20, 0},
		{"queue 255 of 4", {VHOST_GET_VRING_BASE, 1 | 8, 8, {0xff}}, 20, 0},
		{"unknown flags", {VHOST_SET_VRING_KICK, 1, 8, {0, 2}}, 20, 1},
		{"wrong number of descriptors", {VHOST_SET_VRING_KICK, 1, 8, {0, 1}}, 20, 1},
		{"wrong number of descriptors", {VHOST_SET_VRING_CALL, 1, 8, {0}}, 20, 0},
		{"size that is not its contents'", {VHOST_GET_CONFIG, 1, 12 + 4, {0, 0, 0, 0, 5}}, 12 + 16, 0},
		{"GET_CONFIG has", {VHOST_GET_CONFIG, 1, 12 + VHOST_CONFIG_LIMIT + 1, {0}}, 12, 0},
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++)
		assert_ends(rows[i].words, &rows[i].wire, rows[i].size, rows[i].fds);
}

static void messages_may_come_in_pieces(void **state)
{
	struct machine machine;
	struct wire wire = {VHOST_SET_VRING_CALL, 1 | 8, 8, {1}};
	uint64_t number = 1;

	(void)state;
	start(&machine, 1);
	for (unsigned i = 0; i < VHOST_HEADER_SIZE + 8; i++)
		send_with(&machine, (char *)&wire + i, 1, &machine.lanes[1].call, i == 0);
	assert_int_equal(hear(&machine, VHOST_SET_VRING_CALL, &number, sizeof(number)), sizeof(number));
	assert_int_equal(number, 0);
	assert_int_equal(stop(&machine), 0);
}

static void options_are_checked(void **state)
{
	static const struct device_options rows[] = {
		{0, 1, TAG, serve, NULL}, {VHOST_QUEUE_LIMIT, 1, TAG, serve, NULL},
		{1, 0, TAG, serve, NULL}, {1, WORKERS_LIMIT + 1, TAG, serve, NULL},
		{1, 1, "", serve, NULL},  {1, 1, "a tag of thirty-seven bytes, too many", serve, NULL},
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		auto_error struct annex_error *err = NULL;
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		assert_int_equal(device_run(pair[1], &rows[i], &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
		close(pair[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_offered_is_told),
		cmocka_unit_test(without_a_tag_there_is_no_configuration_to_ask_for),
		cmocka_unit_test(requests_are_answered_on_every_queue),
		cmocka_unit_test(memory_changes_and_queues_restart_under_load),
		cmocka_unit_test(a_slow_request_holds_up_no_other_one),
		cmocka_unit_test(one_event_for_many_requests_wakes_as_many_workers),
		cmocka_unit_test(what_has_to_wait_for_others_holds_no_worker),
		cmocka_unit_test(what_waits_goes_on_waiting_in_a_machine_that_was_stopped),
		cmocka_unit_test(what_waits_is_forgotten_when_the_driver_begins_anew),
		cmocka_unit_test(who_has_nothing_to_do_uses_no_processor),
		cmocka_unit_test(what_comes_again_at_once_is_found_without_a_kick),
		cmocka_unit_test(a_queue_stops_while_its_next_request_is_awaited),
		cmocka_unit_test(what_has_no_answer_is_gathered),
		cmocka_unit_test(a_queue_stops_after_what_is_under_way_and_goes_on_there),
		cmocka_unit_test(a_disabled_queue_waits),
		cmocka_unit_test(an_answer_waits_for_the_memory_of_its_ring),
		cmocka_unit_test(what_the_guest_breaks_stands_still_until_reset),
		cmocka_unit_test(noise_from_the_guest_does_no_harm),
		cmocka_unit_test(what_cannot_be_is_refused_when_the_front_end_wants_to_hear_it),
		cmocka_unit_test(a_queue_outside_of_memory_does_not_start),
		cmocka_unit_test(garbage_ends_the_connection),
		cmocka_unit_test(messages_may_come_in_pieces),
		cmocka_unit_test(options_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
