/*
 * One side of what two kernels do to the same files: this program runs in the guest and on the host at once.
 *
 *   shared FOLDER count KIND ROUNDS      adds to the number in "count", with a lock of that kind on "lock" around it
 *   shared FOLDER hold KIND              locks "lock", says "held", and unlocks it when its input ends
 *   shared FOLDER try KIND               says whether "lock" is "free" or "locked"
 *   shared FOLDER blocks SIDE COUNT      writes every second block of "blocks", beginning with block SIDE
 *   shared FOLDER verify COUNT           all blocks are there
 *
 * Kinds: flock, posix, opening.
 */
#include "posix.h"

#include <sys/file.h>

#define BLOCK 700 /* pages of both sides lie in the same blocks of the disk */

static int take(int fd, const char *kind, short type, bool waits)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};

	if (strcmp(kind, "flock") == 0)
		return flock(fd, (type == F_UNLCK ? LOCK_UN : LOCK_EX) | (waits ? 0 : LOCK_NB));
	if (strcmp(kind, "opening") == 0)
		return fcntl(fd, waits ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
	return fcntl(fd, waits ? F_SETLKW : F_SETLK, &lock);
}

static int failed(const char *what)
{
	fprintf(stderr, "posix-suite: %s: %s\n", what, error_name(errno));
	return 1;
}

static int add_one(void)
{
	char text[32] = "";
	int fd = open("count", O_RDWR), count;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return failed("reading the number");
	count = atoi(text) + 1;
	snprintf(text, sizeof(text), "%d\n", count);
	if (pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text))
		return failed("writing the number");
	return close(fd) < 0 ? failed("closing") : 0;
}

static int count_up(int argc, char **argv)
{
	int fd = open("lock", O_RDWR), result = 0;

	if (argc < 2 || fd < 0)
		return failed("lock");
	for (int i = atoi(argv[1]); i > 0 && result == 0; i--) {
		if (take(fd, argv[0], F_WRLCK, true) < 0)
			return failed("locking");
		result = add_one();
		if (take(fd, argv[0], F_UNLCK, false) < 0)
			return failed("unlocking");
	}
	return result;
}

static int hold(int argc, char **argv)
{
	int fd = open("lock", O_RDWR);
	char byte;

	if (argc < 1 || fd < 0 || take(fd, argv[0], F_WRLCK, true) < 0)
		return failed("locking");
	printf("held\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

static int try_lock(int argc, char **argv)
{
	int fd = open("lock", O_RDWR);

	if (argc < 1 || fd < 0)
		return failed("lock");
	if (take(fd, argv[0], F_WRLCK, false) == 0)
		printf("free\n");
	else if (errno == EAGAIN || errno == EACCES)
		printf("locked\n");
	else
		return failed("locking");
	return 0;
}

static void fill(char block[BLOCK], int number)
{
	for (int i = 0; i < BLOCK; i++)
		block[i] = pattern_byte((off_t)number * BLOCK + i);
}

static int write_blocks(int argc, char **argv)
{
	int fd = open("blocks", O_RDWR);
	char block[BLOCK], is[BLOCK];

	if (argc < 2 || fd < 0)
		return failed("blocks");
	for (int i = atoi(argv[0]); i < atoi(argv[1]); i += 2) {
		fill(block, i);
		if (pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
			return failed("writing");
		if (pread(fd, is, BLOCK, (off_t)i * BLOCK) != BLOCK || memcmp(is, block, BLOCK) != 0)
			return failed("reading back");
	}
	return close(fd) < 0 ? failed("closing") : 0;
}

static int verify(int argc, char **argv)
{
	int fd = open("blocks", O_RDONLY);
	char block[BLOCK], is[BLOCK];

	if (argc < 1 || fd < 0)
		return failed("blocks");
	for (int i = 0; i < atoi(argv[0]); i++) {
		fill(block, i);
		if (pread(fd, is, BLOCK, (off_t)i * BLOCK) != BLOCK || memcmp(is, block, BLOCK) != 0) {
			fprintf(stderr, "posix-suite: block %d is wrong\n", i);
			return 1;
		}
	}
	printf("ok\n");
	return 0;
}

int shared_main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} parts[] = {
		{"count", count_up}, {"hold", hold}, {"try", try_lock}, {"blocks", write_blocks}, {"verify", verify}};

	if (argc < 3 || chdir(argv[1]) < 0)
		return failed("folder");
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (strcmp(argv[2], parts[i].name) == 0)
			return parts[i].run(argc - 3, argv + 3);
	}
	return failed(argv[2]);
}
