#include "test.h"

#include "base/file.h"
#include "rootfs/index.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const char diff_id[] = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char attributes[] = "user.a\0\3\0\0\0abc";
static const struct index_entry entries[] = {
	{.kind = INDEX_NODE, .mode = S_IFDIR | 0755, .path = "", .target = "", .mtime = -1, .mtime_ns = 999999999},
	{.kind = INDEX_NODE,
	 .mode = S_IFREG | 04755,
	 .uid = UINT32_MAX - 1,
	 .gid = 7,
	 .mtime = INT64_MIN,
	 .size = 5000,
	 .path = "a/\xff",
	 .target = "",
	 .attributes = attributes,
	 .attributes_size = sizeof(attributes) - 1},
	{.kind = INDEX_NODE, .mode = S_IFLNK | 0777, .path = "link", .target = "../x", .mtime = INT64_MAX},
	{.kind = INDEX_NODE, .mode = S_IFBLK | 0600, .major = 4095, .minor = 1048575, .path = "b/c", .target = ""},
	{.kind = INDEX_LINK, .path = "hard", .target = "a/\xff"},
	{.kind = INDEX_WHITEOUT, .path = "a/gone", .target = ""},
	{.kind = INDEX_OPAQUE, .path = "", .target = ""},
};
static const struct blocks_extent extents[] = {{300, 0, 1}, {500, 1, 1}};

static int new_file(void)
{
	int fd = memfd_create("index", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int write_sample(void)
{
	auto_index_writer struct index_writer *writer = NULL;
	int fd = new_file();

	assert_int_equal(index_writer_new(&writer, fd, diff_id, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(entries); i++) {
		assert_int_equal(index_put(writer, &entries[i], NULL), 0);
		for (size_t j = 0; i == 1 && j < COUNT_OF(extents); j++)
			assert_int_equal(index_put_extent(writer, &extents[j], NULL), 0);
	}
	assert_int_equal(index_finish(writer, NULL), 0);
	return fd;
}

/* Read all of it; how many entries there were, or -1. */
static int read_all(int fd, const char *id, uint64_t disk_blocks, struct annex_error **err)
{
	auto_index_reader struct index_reader *reader = NULL;
	const struct blocks_extent *extent;
	const struct index_entry *entry;

	if (index_reader_new(&reader, fd, id, disk_blocks, err) < 0)
		return -1;
	for (int count = 0;; count++) {
		if (index_next(&entry, reader, err) < 0)
			return -1;
		if (!entry)
			return count;
		do {
			if (index_next_extent(&extent, reader, err) < 0)
				return -1;
		} while (extent);
	}
}

static void assert_corrupt(int fd, uint64_t disk_blocks, const char *what)
{
	auto_error struct annex_error *error = NULL;

	assert_int_equal(read_all(fd, diff_id, disk_blocks, &error), -1);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_CORRUPT);
	assert_non_null(strstr(annex_error_message(error), "index is damaged"));
	assert_non_null(strstr(annex_error_message(error), what));
}

static void assert_same(const struct index_entry *entry, const struct index_entry *expected)
{
	assert_int_equal(entry->kind, expected->kind);
	assert_int_equal(entry->mode, expected->mode);
	assert_int_equal(entry->uid, expected->uid);
	assert_int_equal(entry->gid, expected->gid);
	assert_int_equal(entry->major, expected->major);
	assert_int_equal(entry->minor, expected->minor);
	assert_true(entry->mtime == expected->mtime);
	assert_int_equal(entry->mtime_ns, expected->mtime_ns);
	assert_int_equal(entry->size, expected->size);
	assert_string_equal(entry->path, expected->path);
	assert_string_equal(entry->target, expected->target);
	assert_int_equal(entry->attributes_size, expected->attributes_size);
	assert_memory_equal(entry->attributes, expected->attributes, expected->attributes_size);
}

static void what_was_put_is_read(void **state)
{
	auto_close int fd = write_sample();
	auto_index_reader struct index_reader *reader = NULL;
	const struct blocks_extent *extent;
	const struct index_entry *entry;

	(void)state;
	assert_int_equal(index_reader_new(&reader, fd, diff_id, 1000, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(entries); i++) {
		assert_int_equal(index_next(&entry, reader, NULL), 0);
		assert_non_null(entry);
		for (size_t j = 0; i == 1 && j < COUNT_OF(extents); j++) {
			assert_int_equal(index_next_extent(&extent, reader, NULL), 0);
			assert_memory_equal(extent, &extents[j], sizeof(*extent));
		}
		assert_int_equal(index_next_extent(&extent, reader, NULL), 0);
		assert_null(extent);
		assert_same(entry, &entries[i]);
	}
	assert_int_equal(index_next(&entry, reader, NULL), 0);
	assert_null(entry);
}

static void extents_need_not_be_asked_for(void **state)
{
	auto_close int fd = write_sample();
	auto_index_reader struct index_reader *reader = NULL;
	const struct index_entry *entry;
	size_t count = 0;

	(void)state;
	assert_int_equal(index_reader_new(&reader, fd, diff_id, 1000, NULL), 0);
	do {
		assert_int_equal(index_next(&entry, reader, NULL), 0);
		count += entry != NULL;
	} while (entry);
	assert_int_equal(count, COUNT_OF(entries));
}

static void every_changed_byte_and_every_missing_end_is_seen(void **state)
{
	auto_close int fd = write_sample();
	unsigned char bytes[4096];
	ssize_t size = pread(fd, bytes, sizeof(bytes), 0);

	(void)state;
	assert_in_range(size, 100, sizeof(bytes) - 1);
	for (ssize_t i = 0; i < size; i++) {
		unsigned char changed = bytes[i] ^ 0x11;

		assert_int_equal(pwrite(fd, &changed, 1, i), 1);
		assert_corrupt(fd, 1000, "");
		assert_int_equal(pwrite(fd, &bytes[i], 1, i), 1);
	}
	assert_int_equal(read_all(fd, diff_id, 1000, NULL), COUNT_OF(entries));
	assert_int_equal(pwrite(fd, "x", 1, size), 1);
	assert_corrupt(fd, 1000, "its end is not where it should be");
	for (ssize_t i = size - 1; i >= 0; i--) {
		assert_int_equal(ftruncate(fd, i), 0);
		assert_corrupt(fd, 1000, "");
	}
}

static void another_layers_index_is_refused(void **state)
{
	auto_close int fd = write_sample();
	auto_error struct annex_error *error = NULL;

	(void)state;
	assert_int_equal(read_all(fd, "sha256:other", 1000, &error), -1);
	assert_non_null(strstr(annex_error_message(error), "another layer"));
}

/* An index that holds only this. */
static void assert_refused(const struct index_entry *entry, const struct blocks_extent *extent, const char *what)
{
	auto_index_writer struct index_writer *writer = NULL;
	auto_close int fd = new_file();

	assert_int_equal(index_writer_new(&writer, fd, diff_id, NULL), 0);
	assert_int_equal(index_put(writer, entry, NULL), 0);
	if (extent)
		assert_int_equal(index_put_extent(writer, extent, NULL), 0);
	assert_int_equal(index_finish(writer, NULL), 0);
	assert_corrupt(fd, 100000, what);
}

static void impossible_entries_are_refused(void **state)
{
	static const struct index_entry bad[] = {
		{.kind = INDEX_NODE, .mode = S_IFREG, .path = "../x"},
		{.kind = INDEX_NODE, .mode = S_IFREG, .path = "a//x"},
		{.kind = INDEX_NODE, .mode = S_IFREG, .path = "/x"},
		{.kind = INDEX_NODE, .mode = S_IFREG, .path = "a/."},
		{.kind = INDEX_NODE, .mode = S_IFREG, .path = ""},
		{.kind = INDEX_NODE, .mode = S_IFSOCK, .path = "x"},
		{.kind = INDEX_NODE, .mode = 0644, .path = "x"},
		{.kind = INDEX_NODE, .mode = S_IFREG | 0x10000, .path = "x"},
		{.kind = INDEX_NODE, .mode = S_IFREG, .path = "x", .size = ROOTFS_FILE + 1},
		{.kind = INDEX_NODE, .mode = S_IFDIR, .path = "x", .size = 1},
		{.kind = INDEX_NODE, .mode = S_IFREG, .path = "x", .mtime_ns = 1000000000},
		{.kind = INDEX_NODE, .mode = S_IFREG, .path = "x", .uid = UINT32_MAX},
		{.kind = INDEX_NODE, .mode = S_IFLNK, .path = "x"},
		{.kind = INDEX_NODE, .mode = S_IFCHR, .path = "x", .major = 4096},
		{.kind = INDEX_NODE, .mode = S_IFREG, .path = "x", .attributes = "user.a", .attributes_size = 6},
		{.kind = INDEX_NODE,
		 .mode = S_IFREG,
		 .path = "x",
		 .attributes = "user.a\0\4\0\0\0a",
		 .attributes_size = 12},
		{.kind = INDEX_NODE,
		 .mode = S_IFREG,
		 .path = "x",
		 .attributes = "bad.a\0\0\0\0\0",
		 .attributes_size = 10},
		{.kind = INDEX_LINK, .path = "x"},
		{.kind = INDEX_LINK, .path = "x", .target = "../y"},
		{.kind = INDEX_LINK, .path = "", .target = "y"},
		{.kind = INDEX_WHITEOUT, .path = ""},
		{.kind = (enum index_kind)9, .path = "x"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct index_entry entry = bad[i];

		entry.target = entry.target ? entry.target : "";
		assert_refused(&entry, NULL, "an entry is impossible");
	}
}

static void impossible_extents_are_refused(void **state)
{
	static const struct index_entry file = {
		.kind = INDEX_NODE, .mode = S_IFREG, .size = 4096, .path = "f", .target = ""};
	static const struct index_entry device = {.kind = INDEX_NODE, .mode = S_IFCHR, .path = "f", .target = ""};
	static const struct blocks_extent good = {1000, 0, 1},
					  bad[] = {
						  {0, 0, 1},                    /* the superblock */
						  {256, 0, 1},                  /* descriptors */
						  {BLOCKS_PER_GROUP + 5, 0, 1}, /* those of group 1 */
						  {BLOCKS_PER_GROUP - 1, 0, 2}, /* reaches into them */
						  {100000, 0, 1},               /* behind the disk */
						  {99999, 0, 2},
						  {UINT64_MAX, 0, 1},
						  {1000, 0, 0},
						  {1000, 0, BLOCKS_LONGEST_EXTENT + 1},
					  };
	static const struct blocks_extent late = {1000, 1, 1};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_refused(&file, &bad[i], "an extent is impossible");
	assert_refused(&file, &late, "behind the file's end");
	assert_refused(&device, &good, "contents of what has none");
}

/* Begins an index with a file, whose extents are to follow. */
static struct index_writer *begin_file(int fd, uint64_t size)
{
	const struct index_entry file = {.kind = INDEX_NODE, .mode = S_IFREG, .size = size, .path = "f", .target = ""};
	struct index_writer *writer = NULL;

	assert_int_equal(index_writer_new(&writer, fd, diff_id, NULL), 0);
	assert_int_equal(index_put(writer, &file, NULL), 0);
	return writer;
}

static void extents_that_go_back_are_refused(void **state)
{
	static const struct blocks_extent twice[] = {{1000, 3, 2}, {1100, 4, 1}};
	auto_close int fd = new_file();
	auto_index_writer struct index_writer *writer = begin_file(fd, 40960);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(twice); i++)
		assert_int_equal(index_put_extent(writer, &twice[i], NULL), 0);
	assert_int_equal(index_finish(writer, NULL), 0);
	assert_corrupt(fd, 100000, "an extent is impossible");
}

static void a_file_in_many_pieces_is_read_in_order_up_to_the_limit(void **state)
{
	auto_index_reader struct index_reader *reader = NULL;
	auto_error struct annex_error *error = NULL;
	const struct blocks_extent *extent;
	const struct index_entry *entry;
	auto_close int fd = new_file();
	auto_index_writer struct index_writer *writer = begin_file(fd, ROOTFS_FILE);

	(void)state;
	for (uint32_t i = 0; i < INDEX_EXTENTS; i++)
		assert_int_equal(index_put_extent(writer, &(struct blocks_extent){1000, i * 2, 1}, NULL), 0);
	assert_int_equal(index_put_extent(writer, &(struct blocks_extent){1000, UINT32_MAX / 2, 1}, &error), -1);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_CORRUPT);
	assert_int_equal(index_finish(writer, NULL), 0);
	assert_int_equal(index_reader_new(&reader, fd, diff_id, 2000, NULL), 0);
	assert_int_equal(index_next(&entry, reader, NULL), 0);
	for (uint32_t i = 0; i < INDEX_EXTENTS; i++) {
		assert_int_equal(index_next_extent(&extent, reader, NULL), 0);
		assert_int_equal(extent->logical, i * 2);
	}
	assert_int_equal(index_next(&entry, reader, NULL), 0);
	assert_null(entry);
}

static void neighbours_become_one_extent(void **state)
{
	auto_index_reader struct index_reader *reader = NULL;
	const struct blocks_extent *extent;
	const struct index_entry *entry;
	auto_close int fd = new_file();
	auto_index_writer struct index_writer *writer = begin_file(fd, 1 << 30);

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(index_put_extent(writer, &(struct blocks_extent){1000 + i, i, 1}, NULL), 0);
	assert_int_equal(index_finish(writer, NULL), 0);
	assert_int_equal(index_reader_new(&reader, fd, diff_id, 10000, NULL), 0);
	assert_int_equal(index_next(&entry, reader, NULL), 0);
	assert_int_equal(index_next_extent(&extent, reader, NULL), 0);
	assert_int_equal(extent->count, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_read),
		cmocka_unit_test(extents_need_not_be_asked_for),
		cmocka_unit_test(every_changed_byte_and_every_missing_end_is_seen),
		cmocka_unit_test(another_layers_index_is_refused),
		cmocka_unit_test(impossible_entries_are_refused),
		cmocka_unit_test(impossible_extents_are_refused),
		cmocka_unit_test(extents_that_go_back_are_refused),
		cmocka_unit_test(a_file_in_many_pieces_is_read_in_order_up_to_the_limit),
		cmocka_unit_test(neighbours_become_one_extent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
