/* Sizes, holes, and what lies between. */
#include "posix.h"

#define KEEP_SIZE     0x01 /* <linux/falloc.h> */
#define PUNCH_HOLE    0x02
#define COLLAPSE      0x08
#define ZERO_RANGE    0x10
#define INSERT        0x20
#define TEXT_SIZE     200000
#define LARGEST_PLACE 0x7fffffffffffffffLL

static void zeros(int fd, off_t from, off_t to)
{
	char data[4096];

	for (off_t at = from; at < to;) {
		size_t size = (size_t)(to - at) < sizeof(data) ? (size_t)(to - at) : sizeof(data);

		EQUAL(pread(fd, data, size, at), size);
		for (size_t i = 0; i < size; i++)
			EQUAL(data[i], 0);
		at += (off_t)size;
	}
}

static void pattern(int fd, off_t from, off_t to)
{
	char data[4096];

	for (off_t at = from; at < to;) {
		size_t size = (size_t)(to - at) < sizeof(data) ? (size_t)(to - at) : sizeof(data);

		EQUAL(pread(fd, data, size, at), size);
		for (size_t i = 0; i < size; i++)
			EQUAL(data[i], pattern_byte(at + (off_t)i));
		at += (off_t)size;
	}
}

static int patterned(void)
{
	make_sized("file", TEXT_SIZE);
	return opened("file", O_RDWR);
}

/* Not every file system has every mode. */
static void allocates(int fd, int mode, off_t at, off_t size)
{
	if (fallocate(fd, mode, at, size) == 0)
		return;
	if (errno == EOPNOTSUPP)
		skip("mode %d is not supported", mode);
	OK(-1);
}

static void a_file_grows_and_shrinks(void)
{
	int fd = patterned();

	OK(ftruncate(fd, 100001));
	EQUAL(stat_of_fd(fd).st_size, 100001);
	OK(ftruncate(fd, TEXT_SIZE));
	pattern(fd, 0, 100001);
	zeros(fd, 100001, TEXT_SIZE);
	OK(truncate("file", 5));
	EQUAL(stat_of("file").st_size, 5);
	EQUAL(pread(fd, (char[10]){0}, 10, 0), 5);
	OK(truncate("file", 5));
	OK(ftruncate(fd, 0));
	EQUAL(stat_of("file").st_size, 0);
	EQUAL(stat_of("file").st_blocks, 0);
}

static void sizes_that_cannot_be_are_refused(void)
{
	int fd = patterned();

	make_folder("folder");
	FAILS(EINVAL, ftruncate(fd, -1));
	FAILS(EINVAL, truncate("file", -1));
	FAILS(EISDIR, truncate("folder", 0));
	FAILS(ENOENT, truncate("nothing", 0));
	FAILS(ENOTDIR, truncate("file/x", 0));
	FAILS2(EFBIG, EINVAL, pwrite(fd, "x", 1, LARGEST_PLACE));
	EQUAL(stat_of("file").st_size, TEXT_SIZE);
	/* Some have no limit. */
	if (truncate("file", LARGEST_PLACE) < 0)
		TRUE(errno == EFBIG || errno == EINVAL);
	else
		EQUAL(stat_of("file").st_size, LARGEST_PLACE);
}

static void what_was_cut_off_does_not_come_back(void)
{
	int fd = patterned();

	OK(ftruncate(fd, 4097));
	EQUAL(pwrite(fd, "x", 1, 50000), 1);
	zeros(fd, 4097, 50000);
	OK(ftruncate(fd, 10));
	OK(ftruncate(fd, 8192));
	zeros(fd, 10, 8192);
}

static void holes_are_zeros_and_take_no_room(void)
{
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));

	EQUAL(pwrite(fd, "end", 3, 20 << 20), 3);
	EQUAL(stat_of_fd(fd).st_size, (20 << 20) + 3);
	TRUE(stat_of_fd(fd).st_blocks < 2048);
	zeros(fd, (20 << 20) - 10000, 20 << 20);
	zeros(fd, 0, 10000);
}

static void places_beyond_4_gib_are_places(void)
{
	static const off_t places[] = {(1LL << 31) - 2, (1LL << 32) - 2, (1LL << 32) + 5, 1LL << 40};
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
	char text[5] = "";

	for (size_t i = 0; i < COUNT_OF(places); i++) {
		EQUAL(pwrite(fd, "text", 4, places[i]), 4);
		EQUAL(stat_of("file").st_size, places[i] + 4);
	}
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		EQUAL(pread(fd, text, 4, places[i]), 4);
		SAME_TEXT(text, "text");
	}
	EQUAL(lseek(fd, 0, SEEK_END), (1LL << 40) + 4);
	OK(ftruncate(fd, (1LL << 32) + 6));
	EQUAL(pread(fd, text, 4, (1LL << 32) + 5), 1);
	EQUAL(text[0], 't');
}

static void data_and_holes_are_found(void)
{
	enum { PART = 1 << 20 };
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
	off_t data, hole;

	EQUAL(pwrite(fd, "data", 4, 4 * PART), 4);
	OK(ftruncate(fd, 8 * PART));
	data = OK(lseek(fd, 0, SEEK_DATA));
	if (data == 0)
		skip("holes are not told");
	EQUAL(data, 4 * PART);
	hole = OK(lseek(fd, data, SEEK_HOLE));
	TRUE(hole > 4 * PART && hole <= 5 * PART);
	EQUAL(lseek(fd, 100, SEEK_HOLE), 100);
	FAILS(ENXIO, lseek(fd, 6 * PART, SEEK_DATA));
	FAILS(ENXIO, lseek(fd, 8 * PART, SEEK_DATA));
	FAILS(ENXIO, lseek(fd, 9 * PART, SEEK_HOLE));
	EQUAL(lseek(fd, 7 * PART, SEEK_HOLE), 7 * PART);
	FAILS(EINVAL, lseek(fd, 0, 17));
	/* What was just written is data, wherever it is kept so far. */
	EQUAL(pwrite(fd, "data", 4, 0), 4);
	EQUAL(lseek(fd, 0, SEEK_DATA), 0);
}

static void room_is_set_aside(void)
{
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));

	allocates(fd, 0, 0, 1 << 20);
	EQUAL(stat_of_fd(fd).st_size, 1 << 20);
	TRUE(stat_of_fd(fd).st_blocks >= 2048);
	zeros(fd, 0, 10000);
	OK(fallocate(fd, KEEP_SIZE, 1 << 20, 1 << 20));
	EQUAL(stat_of_fd(fd).st_size, 1 << 20);
	TRUE(stat_of_fd(fd).st_blocks >= 4096);
	FAILS(EINVAL, fallocate(fd, 0, -1, 10));
	FAILS(EINVAL, fallocate(fd, 0, 0, 0));
	FAILS(EBADF, fallocate(opened("file", O_RDONLY), 0, 0, 10));
	FAILS(EFBIG, fallocate(fd, 0, LARGEST_PLACE - 10, 100));
	EQUAL(posix_fallocate(fd, 3 << 20, 10), 0);
	EQUAL(stat_of("file").st_size, (3 << 20) + 10);
}

static void a_hole_is_punched(void)
{
	int fd = patterned();
	struct stat before = stat_of_fd(fd);

	allocates(fd, PUNCH_HOLE | KEEP_SIZE, 10000, 100000);
	EQUAL(stat_of_fd(fd).st_size, TEXT_SIZE);
	TRUE(stat_of_fd(fd).st_blocks < before.st_blocks);
	pattern(fd, 0, 10000);
	zeros(fd, 10000, 110000);
	pattern(fd, 110000, TEXT_SIZE);
	OK(fallocate(fd, PUNCH_HOLE | KEEP_SIZE, TEXT_SIZE - 10, 100));
	EQUAL(stat_of_fd(fd).st_size, TEXT_SIZE);
	pattern(fd, 110000, TEXT_SIZE - 10);
	zeros(fd, TEXT_SIZE - 10, TEXT_SIZE);
	FAILS(EOPNOTSUPP, fallocate(fd, PUNCH_HOLE, 0, 10));
}

static void a_range_is_zeroed(void)
{
	int fd = patterned();

	allocates(fd, ZERO_RANGE, 10000, 100000);
	pattern(fd, 0, 10000);
	zeros(fd, 10000, 110000);
	pattern(fd, 110000, TEXT_SIZE);
	OK(fallocate(fd, ZERO_RANGE, TEXT_SIZE - 10, 100));
	EQUAL(stat_of_fd(fd).st_size, TEXT_SIZE + 90);
	zeros(fd, TEXT_SIZE - 10, TEXT_SIZE + 90);
	OK(fallocate(fd, ZERO_RANGE | KEEP_SIZE, TEXT_SIZE, 10000));
	EQUAL(stat_of_fd(fd).st_size, TEXT_SIZE + 90);
}

static void a_range_is_taken_out(void)
{
	int fd = patterned();

	allocates(fd, COLLAPSE, 8192, 16384);
	EQUAL(stat_of_fd(fd).st_size, TEXT_SIZE - 16384);
	pattern(fd, 0, 8192);
	allocates(fd, INSERT, 8192, 16384);
	EQUAL(stat_of_fd(fd).st_size, TEXT_SIZE);
	zeros(fd, 8192, 8192 + 16384);
	pattern(fd, 8192 + 16384, TEXT_SIZE);
}

static const struct posix_case cases[] = {
	CASE(a_file_grows_and_shrinks),
	CASE(sizes_that_cannot_be_are_refused),
	CASE(what_was_cut_off_does_not_come_back),
	CASE(holes_are_zeros_and_take_no_room),
	CASE(places_beyond_4_gib_are_places),
	CASE(data_and_holes_are_found),
	CASE(room_is_set_aside),
	CASE(a_hole_is_punched),
	CASE(a_range_is_zeroed),
	CASE(a_range_is_taken_out),
};
GROUP(space);
