/*
 * Random input and output, by several processes at once. Each has a file of its own, of which it keeps in memory what
 * the file must hold, and compares whatever it reads with that. Beside their own they all work on one file, in parts
 * that they lock, and that say of themselves whether they are whole.
 */
#include "posix.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include "random.h"

#define LIMIT       300000 /* bytes of a file */
#define PROCESSES   3
#define PARTS       16
#define PART        5000 /* bytes; pages don't begin where parts do */
#define PARTS_EVERY 4    /* operations */
#define HISTORY     12

struct player {
	struct random random;
	uint64_t seed;
	unsigned operation;
	int number;
	char name[32];
	int fd, direct; /* -1: the file system has none */
	int shared;
	char *is, *wanted; /* LIMIT bytes each */
	size_t size;
	char history[HISTORY][80];
};

static unsigned below(struct player *player, unsigned limit)
{
	return random_below(&player->random, limit);
}

static void wrong(struct player *player, const char *format, ...) PRINTF(2, 3);

static void wrong(struct player *player, const char *format, ...)
{
	va_list values;

	printf("not ok: process %d, operation %u of seed %llu: ", player->number, player->operation,
	       (unsigned long long)player->seed);
	va_start(values, format);
	vprintf(format, values);
	va_end(values);
	printf("\n");
	for (unsigned i = 0; i < HISTORY; i++)
		printf("  %s\n", player->history[(player->operation + 1 + i) % HISTORY]);
	fflush(stdout);
	_exit(1);
}

static void note(struct player *player, const char *what, size_t at, size_t size)
{
	snprintf(player->history[player->operation % HISTORY], sizeof(player->history[0]), "%u: %s %zu at %zu of %zu",
		 player->operation, what, size, at, player->size);
}

static void compare(struct player *player, const char *is, size_t at, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (is[i] != player->wanted[at + i])
			wrong(player, "byte %zu is %u instead of %u", at + i, (unsigned char)is[i],
			      (unsigned char)player->wanted[at + i]);
	}
}

static long done(struct player *player, long result, const char *what)
{
	if (result < 0)
		wrong(player, "%s failed with %s", what, error_name(errno));
	return result;
}

static void full(struct player *player, long result, size_t wanted, const char *what)
{
	if (done(player, result, what) != (long)wanted)
		wrong(player, "%s did %ld bytes instead of %zu", what, result, wanted);
}

static void grown(struct player *player, size_t to)
{
	if (to > player->size)
		player->size = to;
}

/* A place and a size, within what is there or, if it may grow, within the limit. */
static void choose(struct player *player, bool grows, size_t *at, size_t *size)
{
	size_t limit = grows ? LIMIT : player->size;

	*at = limit ? below(player, (unsigned)limit) : 0;
	*size = below(player, below(player, 3) ? 9000 : 70000) + 1;
	if (*size > limit - *at)
		*size = limit - *at;
}

static void do_read(struct player *player)
{
	size_t at, size, left;

	choose(player, true, &at, &size);
	note(player, "read", at, size);
	left = at < player->size ? player->size - at : 0;
	full(player, pread(player->fd, player->is, size, (off_t)at), size < left ? size : left, "reading");
	compare(player, player->is, at, size < left ? size : left);
}

static void new_bytes(struct player *player, size_t at, size_t size)
{
	uint64_t bits = random_next(&player->random);

	for (size_t i = 0; i < size; i++)
		player->wanted[at + i] = (char)(bits >> (i % 5 * 8) ^ i);
}

static void do_write(struct player *player)
{
	size_t at, size;

	choose(player, true, &at, &size);
	note(player, "write", at, size);
	new_bytes(player, at, size);
	full(player, pwrite(player->fd, player->wanted + at, size, (off_t)at), size, "writing");
	grown(player, size ? at + size : 0);
}

static void do_direct(struct player *player)
{
	size_t at, size;

	choose(player, true, &at, &size);
	at &= ~(size_t)4095;
	size = (size & ~(size_t)4095) + 4096;
	if (player->direct < 0 || at + size > LIMIT)
		return;
	note(player, "direct", at, size);
	if (below(player, 2)) {
		new_bytes(player, at, size);
		memcpy(player->is, player->wanted + at, size);
		full(player, pwrite(player->direct, player->is, size, (off_t)at), size, "writing directly");
		grown(player, at + size);
	} else {
		size_t left = at < player->size ? player->size - at : 0;

		full(player, pread(player->direct, player->is, size, (off_t)at), size < left ? size : left,
		     "reading directly");
		compare(player, player->is, at, size < left ? size : left);
	}
}

static void do_truncate(struct player *player)
{
	size_t to = below(player, 3) ? below(player, LIMIT) : player->size / 2;

	note(player, "truncate", to, 0);
	done(player, below(player, 2) ? ftruncate(player->fd, (off_t)to) : truncate(player->name, (off_t)to),
	     "truncating");
	if (to < player->size)
		memset(player->wanted + to, 0, player->size - to);
	player->size = to;
}

static void do_map(struct player *player)
{
	bool writes = below(player, 2);
	size_t at, size, page;
	char *map;

	choose(player, false, &at, &size);
	if (size == 0)
		return;
	note(player, writes ? "write mapped" : "read mapped", at, size);
	page = at & 4095;
	map = mmap(NULL, size + page, writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, player->fd,
		   (off_t)(at - page));
	if (map == MAP_FAILED)
		wrong(player, "mapping failed with %s", error_name(errno));
	compare(player, map + page, at, size);
	if (writes) {
		new_bytes(player, at, size);
		memcpy(map + page, player->wanted + at, size);
		if (below(player, 3) == 0)
			done(player, msync(map, size + page, MS_SYNC), "msync");
	}
	done(player, munmap(map, size + page), "unmapping");
}

static void do_allocate(struct player *player)
{
	static const int modes[] = {0, 1, 3 /* punch a hole */, 16 /* zero */};
	int mode = modes[below(player, COUNT_OF(modes))];
	size_t at, size;

	choose(player, mode != 3, &at, &size);
	if (size == 0)
		return;
	note(player, mode == 3 ? "punch" : mode == 16 ? "zero" : "allocate", at, size);
	if (fallocate(player->fd, mode, (off_t)at, (off_t)size) < 0) {
		if (errno == EOPNOTSUPP)
			return;
		done(player, -1, "fallocate");
	}
	if (mode == 3 || mode == 16)
		memset(player->wanted + at, 0, size);
	if (mode == 0 || mode == 16)
		grown(player, at + size);
}

static void do_copy(struct player *player)
{
	size_t at, size, to = below(player, LIMIT);
	off_t from_at, to_at;

	choose(player, false, &at, &size);
	if (to + size > LIMIT)
		size = LIMIT - to;
	if (size == 0 || (to < at + size && at < to + size))
		return;
	note(player, "copy", at, size);
	from_at = (off_t)at;
	to_at = (off_t)to;
	for (size_t left = size; left > 0;) {
		long n = done(player, copy_file_range(player->fd, &from_at, player->fd, &to_at, left, 0), "copying");

		if (n == 0)
			wrong(player, "nothing was copied");
		left -= (size_t)n;
	}
	memcpy(player->wanted + to, player->wanted + at, size);
	grown(player, to + size);
}

static void open_files(struct player *player)
{
	player->fd = (int)done(player, open(player->name, O_RDWR | O_CREAT, 0644), "opening");
	player->direct = open(player->name, O_RDWR | O_DIRECT);
}

static void do_open_again(struct player *player)
{
	struct stat st;

	note(player, "open again", 0, 0);
	if (below(player, 2))
		done(player, fsync(player->fd), "fsync");
	posix_fadvise(player->fd, 0, 0, below(player, 2) ? POSIX_FADV_DONTNEED : POSIX_FADV_NORMAL);
	done(player, close(player->fd), "closing");
	if (player->direct >= 0)
		close(player->direct);
	open_files(player);
	done(player, stat(player->name, &st), "stat");
	if (st.st_size != (off_t)player->size)
		wrong(player, "the size is %ld instead of %zu", (long)st.st_size, player->size);
}

static void check_all(struct player *player)
{
	note(player, "check", 0, player->size);
	full(player, pread(player->fd, player->is, LIMIT, 0), player->size, "reading all");
	compare(player, player->is, 0, player->size);
}

/* --- the file that all have --- */

struct part {
	uint32_t number, writer, count, sum;
	char bytes[PART - 4 * sizeof(uint32_t)];
};

static uint32_t sum_of(const struct part *part)
{
	uint32_t sum = part->number * 31 + part->writer * 7 + part->count;

	for (size_t i = 0; i < sizeof(part->bytes); i++)
		sum = sum * 33 + (unsigned char)part->bytes[i];
	return sum;
}

static void lock_part(struct player *player, short type, unsigned number)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)number * PART, .l_len = PART};

	done(player, fcntl(player->shared, F_SETLKW, &lock), "locking");
}

static void do_part(struct player *player)
{
	unsigned number = below(player, PARTS);
	off_t at = (off_t)number * PART;
	struct part part;
	bool writes = below(player, 3);

	note(player, "part", number, PART);
	lock_part(player, writes ? F_WRLCK : F_RDLCK, number);
	full(player, pread(player->shared, &part, sizeof(part), at), sizeof(part), "reading a part");
	if (part.count > 0 && (part.number != number || part.sum != sum_of(&part)))
		wrong(player, "part %u, which process %u wrote, is not whole", number, part.writer);
	if (writes) {
		part.number = number;
		part.writer = (uint32_t)player->number;
		part.count++;
		memset(part.bytes, (int)below(player, 256), sizeof(part.bytes));
		part.sum = sum_of(&part);
		full(player, pwrite(player->shared, &part, sizeof(part), at), sizeof(part), "writing a part");
	}
	lock_part(player, F_UNLCK, number);
}

/* --- */

static void play(struct player *player, unsigned operations)
{
	static void (*const plays[])(struct player * player) = {
		do_read,     do_read, do_read, do_write, do_write,    do_write, do_direct,
		do_truncate, do_map,  do_map,  do_map,   do_allocate, do_copy,  do_open_again,
	};

	snprintf(player->name, sizeof(player->name), "fsx-%d", player->number);
	player->random = random_from(player->seed + (uint64_t)player->number * 1000003);
	if (posix_memalign((void **)&player->is, 4096, LIMIT + 4096) != 0)
		_exit(1);
	player->wanted = calloc(1, LIMIT + 4096);
	open_files(player);
	player->shared = (int)done(player, open("fsx-shared", O_RDWR), "opening");
	for (player->operation = 0; player->operation < operations; player->operation++) {
		plays[below(player, COUNT_OF(plays))](player);
		if (player->operation % PARTS_EVERY == 0)
			do_part(player);
	}
	check_all(player);
	do_open_again(player);
	check_all(player);
	_exit(0);
}

int fsx_main(int argc, char **argv)
{
	struct player player = {.seed = argc > 2 ? (uint64_t)atoi(argv[2]) : 0};
	unsigned operations = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	pid_t pids[PROCESSES];
	int failed = 0, fd;

	if (argc < 4 || chdir(argv[1]) < 0) {
		fprintf(stderr, "posix-suite: fsx FOLDER SEED OPERATIONS\n");
		return 2;
	}
	fd = open("fsx-shared", O_RDWR | O_CREAT, 0644);
	if (fd < 0 || ftruncate(fd, PARTS * PART) < 0)
		return 2;
	for (player.number = 0; player.number < PROCESSES; player.number++) {
		pids[player.number] = fork();
		if (pids[player.number] == 0)
			play(&player, operations);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		failed |= pids[i] < 0 || waitpid(pids[i], &status, 0) < 0 || status != 0;
	}
	if (!failed)
		printf("ok: seed %llu, %u operations in each of %d processes\n", (unsigned long long)player.seed,
		       operations, PROCESSES);
	return failed;
}
