#include "driver.h"
#include "test.h"

#include "share/ring.h"

#include <pthread.h>
#include <sys/mman.h>

#define USER 0x7000000000 /* the front end's address of the guest's 0 */
#define SIZE (1u << 20)
#define FAR  (64u << 20) /* the guest's address of the last eighth */

/* Guest memory in three regions: two that touch at SIZE / 2, the third one (the last eighth of the file) at FAR. */
struct scene {
	char *bytes;
	struct memory *memory;
	struct driver driver;
	struct ring ring;
	struct ring_chain *chain;
};

static void add_region(struct scene *scene, int fd, uint64_t guest, uint64_t offset, uint64_t size)
{
	struct memory_region region = {guest, size, USER + offset, offset};
	struct memory *more;

	assert_int_equal(memory_with(&more, scene->memory, &region, fd, NULL), 0);
	memory_unref(scene->memory);
	scene->memory = more;
}

static void start(struct scene *scene, unsigned size, bool event_index)
{
	auto_close int fd = memfd_create("guest", MFD_CLOEXEC);
	struct ring_addresses addresses;

	*scene = (struct scene){.chain = calloc(1, sizeof(*scene->chain))};
	assert_int_equal(ftruncate(fd, SIZE), 0);
	scene->bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(scene->bytes, MAP_FAILED);
	assert_int_equal(memory_new(&scene->memory, NULL), 0);
	add_region(scene, fd, SIZE / 2, SIZE / 2, SIZE / 8 * 3);
	add_region(scene, fd, 0, 0, SIZE / 2);
	add_region(scene, fd, FAR, SIZE / 8 * 7, SIZE / 8);
	driver_open(&scene->driver, scene->bytes, 4096, size, event_index);
	scene->ring = (struct ring){.size = size, .event_index = event_index, .indirect = true};
	addresses = (struct ring_addresses){
		USER + driver_offset(&scene->driver, scene->driver.vring.desc),
		USER + driver_offset(&scene->driver, scene->driver.vring.avail),
		USER + driver_offset(&scene->driver, scene->driver.vring.used),
	};
	assert_true(ring_place(&scene->ring, scene->memory, &addresses));
}

static void stop(struct scene *scene)
{
	munmap(scene->bytes, SIZE);
	memory_unref(scene->memory);
	free(scene->chain);
}

/* That ring_take() ends with -1 and these words. */
static void assert_broken(struct scene *scene, const char *words)
{
	auto_error struct annex_error *err = NULL;

	assert_int_equal(ring_take(&scene->ring, scene->chain, &err), -1);
	if (!strstr(annex_error_message(err), words))
		print_error("%s\n", annex_error_message(err));
	assert_non_null(strstr(annex_error_message(err), words));
}

static void assert_taken(struct scene *scene, unsigned in, unsigned out)
{
	auto_error struct annex_error *err = NULL;
	int taken = ring_take(&scene->ring, scene->chain, &err);

	if (taken < 0)
		print_error("%s\n", annex_error_message(err));
	assert_int_equal(taken, 1);
	assert_int_equal(scene->chain->in_count, in);
	assert_int_equal(scene->chain->out_count, out);
}

static void assert_part(const struct scene *scene, unsigned index, uint64_t guest, size_t size)
{
	assert_ptr_equal(scene->chain->parts[index].iov_base, memory_at_guest(scene->memory, guest, 1));
	assert_int_equal(scene->chain->parts[index].iov_len, size);
}

static void a_chain_becomes_parts_and_comes_back_used(void **state)
{
	struct scene scene;
	uint32_t head = 0, size = 0;

	(void)state;
	start(&scene, 8, true);
	assert_int_equal(ring_take(&scene.ring, scene.chain, NULL), 0);
	driver_describe(&scene.driver, 3, 0x20000, 40, VRING_DESC_F_NEXT, 5);
	driver_describe(&scene.driver, 5, 0x21000, 10, VRING_DESC_F_NEXT, 0);
	driver_describe(&scene.driver, 0, 0x22000, 0, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1); /* empty: no part */
	driver_describe(&scene.driver, 1, FAR, 100, VRING_DESC_F_WRITE, 0xffff);
	driver_offer(&scene.driver, 3);
	assert_taken(&scene, 2, 1);
	assert_part(&scene, 0, 0x20000, 40);
	assert_part(&scene, 1, 0x21000, 10);
	assert_part(&scene, 2, FAR, 100);
	assert_int_equal(scene.chain->size, 150);
	assert_int_equal(ring_take(&scene.ring, scene.chain, NULL), 0);
	assert_false(driver_collect(&scene.driver, &head, &size));
	ring_put(&scene.ring, scene.chain->head, 77);
	assert_true(ring_wants_call(&scene.ring));
	assert_true(driver_collect(&scene.driver, &head, &size));
	assert_int_equal(head, 3);
	assert_int_equal(size, 77);
	stop(&scene);
}

static void parts_that_touch_are_one_and_regions_split(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene, 8, true);
	driver_describe(&scene.driver, 0, 0x20000, 0x1000, VRING_DESC_F_NEXT, 1);
	driver_describe(&scene.driver, 1, 0x21000, 0x1000, VRING_DESC_F_NEXT, 2);
	driver_describe(&scene.driver, 2, 0x22000, 0x1000, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 3);
	driver_describe(&scene.driver, 3, SIZE / 2 - 6, 10, VRING_DESC_F_WRITE, 0); /* over two regions */
	driver_offer(&scene.driver, 0);
	assert_int_equal(ring_take(&scene.ring, scene.chain, NULL), 1);
	assert_int_equal(scene.chain->in_count, 1);
	assert_part(&scene, 0, 0x20000, 0x2000);
	assert_part(&scene, 1, 0x22000, 0x1000);
	assert_part(&scene, 2, SIZE / 2 - 6,
		    memory_at_guest(scene.memory, SIZE / 2 - 1, 1) ==
				    (char *)memory_at_guest(scene.memory, SIZE / 2, 1) - 1
			    ? 10
			    : 6);
	stop(&scene);
}

/* Descriptors of an indirect table at `table`. */
static void describe_at(struct scene *scene, uint64_t table, unsigned index, struct vring_desc descriptor)
{
	memcpy(scene->bytes + table + index * sizeof(descriptor), &descriptor, sizeof(descriptor));
}

static void indirect_tables_are_followed(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene, 4, true);
	/* An odd place for the table, behind a direct descriptor; its next indexes are its own. */
	describe_at(&scene, 0x30004, 0, (struct vring_desc){0x41000, 5, VRING_DESC_F_NEXT, 6});
	describe_at(&scene, 0x30004, 6, (struct vring_desc){0x42000, 6, VRING_DESC_F_WRITE, 0});
	driver_describe(&scene.driver, 2, 0x40000, 7, VRING_DESC_F_NEXT, 3);
	driver_describe(&scene.driver, 3, 0x30004, 7 * 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
	driver_offer(&scene.driver, 2);
	assert_taken(&scene, 2, 1);
	assert_part(&scene, 0, 0x40000, 7);
	assert_part(&scene, 1, 0x41000, 5);
	assert_part(&scene, 2, 0x42000, 6);
	stop(&scene);
}

static void a_chain_has_at_most_so_many_parts(void **state)
{
	struct scene scene;
	const uint32_t table_size = RING_CHAIN_LIMIT * sizeof(struct vring_desc);

	(void)state;
	start(&scene, 4, true);
	for (unsigned i = 0; i < RING_CHAIN_LIMIT; i++)
		describe_at(&scene, 0x30000, i,
			    (struct vring_desc){0x50000 + 32 * (i + 1), 1,
						(uint16_t)(i + 1 < RING_CHAIN_LIMIT ? VRING_DESC_F_NEXT : 0),
						(uint16_t)(i + 1)});
	driver_describe(&scene.driver, 0, 0x30000, table_size, VRING_DESC_F_INDIRECT, 0);
	driver_offer(&scene.driver, 0);
	assert_taken(&scene, RING_CHAIN_LIMIT, 0);
	driver_describe(&scene.driver, 1, 0x40, 1, VRING_DESC_F_NEXT, 0); /* one more, before the table */
	driver_offer(&scene.driver, 1);
	assert_broken(&scene, "in too many parts");
	stop(&scene);
}

static void what_drivers_may_not_do_breaks_the_ring(void **state)
{
	const uint16_t next = VRING_DESC_F_NEXT, write = VRING_DESC_F_WRITE, indirect = VRING_DESC_F_INDIRECT;
	const struct {
		const char *words;
		struct vring_desc first, second, inner; /* inner: all of a table at 0x30000 */
	} rows[] = {
		{"longer than its table", {0, 1, next, 1}, {0, 1, next, 0}, {0}},
		{"longer than its table", {0, 0, next, 0}, {0}, {0}},
		{"behind the end of the table", {0, 1, next, 4}, {0}, {0}},
		{"behind the end of the table", {0, 1, next, 0xffff}, {0}, {0}},
		{"to read behind one to write", {0, 1, write | next, 1}, {0, 1, 0, 0}, {0}},
		{"a buffer outside of memory", {SIZE / 8 * 7, 1, 0, 0}, {0}, {0}},
		{"a buffer outside of memory", {SIZE / 8 * 7 - 1, 2, 0, 0}, {0}, {0}},
		{"a buffer outside of memory", {FAR - 1, 1, write, 0}, {0}, {0}},
		{"a buffer outside of memory", {FAR + SIZE / 8, 1, write, 0}, {0}, {0}},
		{"a buffer outside of memory", {UINT64_MAX, 1, 0, 0}, {0}, {0}},
		{"a buffer outside of memory", {UINT64_MAX - 1, 1u << 20, 0, 0}, {0}, {0}},
		{"of too many bytes", {0, UINT32_MAX, 0, 0}, {0}, {0}},
		{"of too many bytes", {0, RING_CHAIN_BYTES + 1, 0, 0}, {0}, {0}},
		{"table with a bad size", {0x30000, 0, indirect, 0}, {0}, {0}},
		{"table with a bad size", {0x30000, 17, indirect, 0}, {0}, {0}},
		{"table with a bad size", {0x30000, 16 * (RING_CHAIN_LIMIT + 1), indirect, 0}, {0}, {0}},
		{"table with a bad size", {0x30000, UINT32_MAX - 15, indirect, 0}, {0}, {0}},
		{"a descriptor behind an indirect", {0x30000, 16, indirect | next, 1}, {0}, {0}},
		{"table outside of memory", {FAR - 16, 16, indirect, 0}, {0}, {0}},
		{"table outside of memory", {UINT64_MAX - 7, 16, indirect, 0}, {0}, {0}},
		{"table outside of memory", {SIZE / 2 - 8, 16, indirect, 0}, {0}, {0}}, /* over two regions */
		{"table in an indirect", {0x30000, 16, indirect, 0}, {0}, {0x30000, 16, indirect, 0}},
		{"longer than its table", {0x30000, 16, indirect, 0}, {0}, {0, 1, next, 0}},
		{"behind the end of the table", {0x30000, 32, indirect, 0}, {0}, {0, 1, next, 2}},
		{"to read behind one to write", {0, 1, write | next, 1}, {0x30000, 16, indirect, 0}, {0, 1, 0, 0}},
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		struct scene scene;

		start(&scene, 4, i % 2);
		scene.driver.vring.desc[0] = rows[i].first;
		scene.driver.vring.desc[1] = rows[i].second;
		describe_at(&scene, 0x30000, 0, rows[i].inner);
		driver_offer(&scene.driver, 0);
		assert_broken(&scene, rows[i].words);
		stop(&scene);
	}
}

static void heads_and_indexes_are_checked(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene, 4, true);
	driver_offer(&scene.driver, 4);
	assert_broken(&scene, "behind the end of the table");
	scene.driver.vring.avail->idx = 5;
	assert_broken(&scene, "more requests than its size");
	scene.driver.vring.avail->idx = 0xffff;
	assert_broken(&scene, "more requests than its size");
	scene.ring.indirect = false;
	driver_describe(&scene.driver, 0, 0x30000, 16, VRING_DESC_F_INDIRECT, 0);
	scene.driver.vring.avail->idx = 1;
	scene.driver.vring.avail->ring[0] = 0;
	assert_broken(&scene, "not negotiated");
	stop(&scene);
}

static void indexes_wrap(void **state)
{
	struct scene scene;
	uint32_t head, size;

	(void)state;
	start(&scene, 4, true);
	ring_resume(&scene.ring, 0xfffe);
	scene.driver.offered = scene.driver.collected = 0xfffe;
	scene.driver.vring.avail->idx = scene.driver.vring.used->idx = 0xfffe;
	for (unsigned i = 0; i < 8; i++) {
		driver_describe(&scene.driver, i % 4, 0x20000, 1, 0, 0);
		driver_offer(&scene.driver, (uint16_t)(i % 4));
		assert_taken(&scene, 1, 0);
		assert_int_equal(scene.chain->head, i % 4);
		ring_put(&scene.ring, scene.chain->head, i);
		assert_true(driver_collect(&scene.driver, &head, &size));
		assert_int_equal(size, i);
	}
	stop(&scene);
}

static void kicks_come_only_when_armed(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene, 8, true);
	driver_describe(&scene.driver, 0, 0x20000, 1, 0, 0);
	assert_true(ring_arm(&scene.ring));
	assert_true(driver_offer(&scene.driver, 0));
	assert_false(driver_offer(&scene.driver, 0)); /* asked for one only */
	assert_taken(&scene, 1, 0);
	assert_false(ring_arm(&scene.ring)); /* there is more */
	assert_taken(&scene, 1, 0);
	assert_false(driver_offer(&scene.driver, 0));
	assert_taken(&scene, 1, 0);
	assert_true(ring_arm(&scene.ring));
	assert_true(driver_offer(&scene.driver, 0));
	stop(&scene);
	start(&scene, 8, false);
	driver_describe(&scene.driver, 0, 0x20000, 1, 0, 0);
	assert_true(ring_arm(&scene.ring));
	assert_true(driver_offer(&scene.driver, 0));
	assert_true(driver_offer(&scene.driver, 0)); /* without the feature, for each */
	assert_false(ring_arm(&scene.ring));
	stop(&scene);
}

static void calls_come_only_when_wanted(void **state)
{
	struct scene scene;
	uint32_t head, size;

	(void)state;
	start(&scene, 8, true);
	assert_false(driver_collect(&scene.driver, &head, &size)); /* wants the next one */
	ring_put(&scene.ring, 0, 0);
	assert_true(ring_wants_call(&scene.ring));
	ring_put(&scene.ring, 1, 0);
	assert_false(ring_wants_call(&scene.ring)); /* has not looked yet */
	assert_true(driver_collect(&scene.driver, &head, &size));
	assert_true(driver_collect(&scene.driver, &head, &size));
	ring_put(&scene.ring, 2, 0);
	assert_false(ring_wants_call(&scene.ring));
	assert_true(driver_collect(&scene.driver, &head, &size));
	assert_int_equal(head, 2);
	scene.driver.vring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT; /* means nothing with that feature */
	assert_false(driver_collect(&scene.driver, &head, &size));
	ring_put(&scene.ring, 3, 0);
	assert_true(ring_wants_call(&scene.ring));
	stop(&scene);
	start(&scene, 8, false);
	ring_put(&scene.ring, 0, 0);
	assert_true(ring_wants_call(&scene.ring));
	scene.driver.vring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	ring_put(&scene.ring, 0, 0);
	assert_false(ring_wants_call(&scene.ring));
	stop(&scene);
}

static void a_ring_lies_wholly_in_memory_and_aligned(void **state)
{
	const uint64_t table = USER + 0x1000, available = USER + 0x2000, used = USER + 0x3000, end = USER + SIZE / 2;
	const struct {
		struct ring_addresses addresses;
		bool placed;
	} rows[] = {
		{{table, available, used}, true},
		{{table + 8, available, used}, false},
		{{table, available + 1, used}, false},
		{{table, available, used + 2}, false},
		{{end - 8 * 16, available, used}, true},
		{{end - 7 * 16, available, used}, false},
		{{table, end - (4 + 8 * 2 + 2), used}, true},
		{{table, end - (2 + 8 * 2 + 2), used}, false},
		{{table, available, end - (4 + 8 * 8 + 4)}, true},
		{{table, available, end - (8 * 8 + 4)}, false},
		{{0, available, used}, false},
		{{table, UINT64_MAX - 1, used}, false},
	};
	struct scene scene;

	(void)state;
	start(&scene, 8, true);
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(ring_place(&scene.ring, scene.memory, &rows[i].addresses), rows[i].placed);
		assert_int_equal(ring_is_placed(&scene.ring), rows[i].placed);
	}
	stop(&scene);
	assert_true(ring_is_size(1) && ring_is_size(128) && ring_is_size(RING_SIZE_LIMIT));
	assert_false(ring_is_size(0) || ring_is_size(3) || ring_is_size(2 * RING_SIZE_LIMIT) ||
		     ring_is_size(1ull << 32));
}

struct race {
	struct driver *driver;
	unsigned done; /* atomic */
};

/* What a driver can do to a descriptor while it is read: good and bad ones in turns, torn ones too. */
static void *keep_changing(void *data)
{
	static const struct vring_desc forms[] = {
		{0x20000, 16, VRING_DESC_F_NEXT, 1},
		{FAR + SIZE / 8 - 16, 16, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1},
		{SIZE, 1u << 20, VRING_DESC_F_NEXT, 0xffff},
		{0x30000, 32, VRING_DESC_F_INDIRECT, 0},
		{UINT64_MAX - 3, UINT32_MAX, VRING_DESC_F_WRITE, 1},
	};
	struct race *race = data;

	for (unsigned i = 0; !__atomic_load_n(&race->done, __ATOMIC_RELAXED); i++) {
		memcpy(&race->driver->vring.desc[0], &forms[i % COUNT_OF(forms)], sizeof(*forms));
		memcpy(race->driver->memory + 0x30000, &forms[(i / 3) % COUNT_OF(forms)], sizeof(*forms));
		__asm__ volatile("" : : : "memory");
	}
	return NULL;
}

static bool is_inside(const struct scene *scene, const struct iovec *part)
{
	static const struct {
		uint64_t start, size;
	} regions[] = {{0, SIZE / 2}, {SIZE / 2, SIZE / 8 * 3}, {FAR, SIZE / 8}};

	for (unsigned i = 0; i < COUNT_OF(regions); i++) {
		const char *start = memory_at_guest(scene->memory, regions[i].start, 1), *at = part->iov_base;

		if (at >= start && at + part->iov_len <= start + regions[i].size)
			return true;
	}
	return false;
}

static void what_changes_while_it_is_read_leads_nowhere_else(void **state)
{
	struct scene scene;
	struct race race = {&scene.driver, 0};
	unsigned good = 0, bad = 0;
	pthread_t thread;

	(void)state;
	start(&scene, 4, true);
	driver_describe(&scene.driver, 1, 0x40000, 8, VRING_DESC_F_WRITE, 0);
	describe_at(&scene, 0x30000, 1, (struct vring_desc){0x41000, 8, VRING_DESC_F_WRITE, 0});
	driver_offer(&scene.driver, 0);
	assert_int_equal(pthread_create(&thread, NULL, keep_changing, &race), 0);
	for (unsigned i = 0; i < 400000000 && (good < 20000 || bad < 20000); i++) {
		if (ring_take(&scene.ring, scene.chain, NULL) == 1) {
			for (unsigned k = 0; k < scene.chain->in_count + scene.chain->out_count; k++)
				assert_true(is_inside(&scene, &scene.chain->parts[k]));
			ring_resume(&scene.ring, 0);
			good++;
		} else {
			bad++;
		}
	}
	__atomic_store_n(&race.done, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(good > 0 && bad > 0);
	stop(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_becomes_parts_and_comes_back_used),
		cmocka_unit_test(parts_that_touch_are_one_and_regions_split),
		cmocka_unit_test(indirect_tables_are_followed),
		cmocka_unit_test(a_chain_has_at_most_so_many_parts),
		cmocka_unit_test(what_drivers_may_not_do_breaks_the_ring),
		cmocka_unit_test(heads_and_indexes_are_checked),
		cmocka_unit_test(indexes_wrap),
		cmocka_unit_test(kicks_come_only_when_armed),
		cmocka_unit_test(calls_come_only_when_wanted),
		cmocka_unit_test(what_changes_while_it_is_read_leads_nowhere_else),
		cmocka_unit_test(a_ring_lies_wholly_in_memory_and_aligned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
